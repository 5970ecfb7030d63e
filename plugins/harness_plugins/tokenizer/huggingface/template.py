"""A folder's chat template: a stranger's program, run in a sandbox, that writes out a conversation."""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from harness.errors import UserError
from harness.interfaces.corpus import Turn


class ChatTemplate:
    """Renders as `apply_chat_template` of `transformers` does, but that no template learns today's date: the same run
    would be another one tomorrow. Many have a date of their own for this.

    tokens: the text of each special token by its role, such as eos_token, which templates ask for.
    """

    def __init__(self, source: str, tokens: Mapping[str, str], folder: Path) -> None:
        self.source, self.tokens, self.folder = source, dict(tokens), folder

    def __call__(self, turns: Sequence[Turn], asks: bool) -> str:
        """The turns' text, with what asks for an answer behind it where asked for. Raises UserError where the template
        is damaged or refuses the turns."""
        messages = [{"role": turn.speaker, "content": turn.text} for turn in turns]
        try:
            return self._compiled.render(messages=messages, add_generation_prompt=asks, **self.tokens)
        except Exception as error:  # whatever the template does
            reason = " ".join(str(error).split()).rstrip(".")
            raise UserError(
                f"The chat template of {self.folder} cannot write a conversation of "
                f"{', '.join(turn.speaker for turn in turns) or 'no turn'}: {reason}. Say data.template=chat, or plain."
            ) from None

    @functools.cached_property
    def _compiled(self) -> Any:
        from jinja2.ext import loopcontrols
        from jinja2.sandbox import ImmutableSandboxedEnvironment

        sandbox = ImmutableSandboxedEnvironment(
            trim_blocks=True, lstrip_blocks=True, extensions=[loopcontrols, _generation()]
        )
        sandbox.filters["tojson"] = _tojson
        sandbox.globals["raise_exception"] = _refuse
        return sandbox.from_string(self.source)


def _tojson(value: Any, **options: Any) -> str:
    """As `transformers` has it: jinja2's own is for HTML."""
    return json.dumps(value, **{"ensure_ascii": False, **options})


def _refuse(message: str) -> None:
    from jinja2 import TemplateError

    raise TemplateError(message)


def _generation() -> Any:
    """``{% generation %}``, with which templates mark the assistant's words, as nothing but what it surrounds."""
    from jinja2 import nodes
    from jinja2.ext import Extension

    class Generation(Extension):
        tags = {"generation"}

        def parse(self, parser: Any) -> Any:
            line = next(parser.stream).lineno
            return nodes.Scope(parser.parse_statements(("name:endgeneration",), drop_needle=True), lineno=line)

    return Generation


def template_of(settings: Mapping[str, Any], file: str | None) -> str | None:
    """The template's source. file: what chat_template.jinja holds, which comes first; else what the settings say, as
    text or, of several by name, the default."""
    said = settings.get("chat_template")
    if file is None and isinstance(said, list):
        named = {item.get("name"): item.get("template") for item in said if isinstance(item, dict)}
        said = named.get("default")
    return file if file is not None else said if isinstance(said, str) else None
