"""A tokenizer of ours as `transformers` opens it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from harness.errors import UserError
from harness.files import read_json, write_atomic, write_json

if TYPE_CHECKING:
    from tokenizers import Tokenizer

#: What the end token is called there. It is no text: a document that holds these letters has other tokens.
END = "<|end|>"
#: What `transformers` calls the part that a method's own token has.
ROLES = {"[MASK]": "mask_token"}


def write_tokenizer(folder: Path, tokenizer: Tokenizer, **settings: Any) -> None:
    """tokenizer.json and tokenizer_config.json, which ``AutoTokenizer.from_pretrained(folder)`` opens.

    tokenizer: an object of the `tokenizers` library with END in its vocabulary. settings: more for the second file.
    """
    from tokenizers import AddedToken

    tokenizer.add_special_tokens([AddedToken(END, special=True, normalized=False)])
    write_atomic(folder / "tokenizer.json", tokenizer.to_str(pretty=True))
    own = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "bos_token": END,
        "eos_token": END,
        "split_special_tokens": True,  # special tokens are never found in a text
        "clean_up_tokenization_spaces": False,
    }
    write_json(folder / "tokenizer_config.json", {**own, **settings})


def with_end(tokenizer: Tokenizer, end: int, name: str = END) -> Tokenizer:
    """A copy of a tokenizer of the `tokenizers` library in which END has its number. It is a word of the vocabulary
    that no text leads to; a vocabulary without numbers is filled up with names that cannot be spelled either."""
    from tokenizers import Tokenizer

    content = json.loads(tokenizer.to_str())
    vocabulary = content["model"]["vocab"]
    if isinstance(vocabulary, dict):
        vocabulary[name] = end
    else:
        unused = range(len(vocabulary), end)
        vocabulary += [*([f"<|unused {number}|>", 0.0] for number in unused), [name, 0.0]]
    return Tokenizer.from_str(json.dumps(content))


def export_tokenizer(folder: Path, tokenizer: Any, extra: Mapping[str, int] = MappingProxyType({})) -> None:
    """Writes any tokenizer of ours, and behind its tokens those of a method. extra: their numbers, by name. Raises
    UserError for a tokenizer that does not know how to be exported."""
    if not hasattr(tokenizer, "export"):
        raise UserError(
            f"The tokenizer {type(tokenizer).__name__} cannot be exported: it has no method `export`, which writes "
            "what AutoTokenizer opens."
        )
    tokenizer.export(folder)
    if behind := {name: number for name, number in extra.items() if number >= tokenizer.size}:
        _add(folder, behind)


def _add(folder: Path, names: Mapping[str, int]) -> None:
    """Special tokens under the next numbers, in a folder that holds a tokenizer. What is a word of its vocabulary
    already is called otherwise."""
    from tokenizers import AddedToken, Tokenizer

    library = Tokenizer.from_file(str(folder / "tokenizer.json"))
    # The library numbers what is added by how many tokens there are, so that behind a vocabulary with gaps it has to be
    # a word of that.
    has_gaps = library.get_vocab_size() < min(names.values())
    settings = read_json(folder / "tokenizer_config.json")
    for name, number in sorted(names.items(), key=lambda item: item[1]):
        written = name
        while library.token_to_id(written) is not None:
            written = f"<|{written}|>"
        library = with_end(library, number, written) if has_gaps else library
        library.add_special_tokens([AddedToken(written, special=True, normalized=False)])
        if name in ROLES:
            settings[ROLES[name]] = written
    write_atomic(folder / "tokenizer.json", library.to_str(pretty=True))
    write_json(folder / "tokenizer_config.json", settings)
