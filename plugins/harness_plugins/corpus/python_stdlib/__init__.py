"""The library of the running Python: real text on every machine, offline."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from harness import hookimpl
from harness.interfaces.corpus import CorpusConfig

if TYPE_CHECKING:
    from harness.data.files import FileCorpus

HARNESS_INTERFACE = 1


@dataclass(kw_only=True)
class PythonStdlib(CorpusConfig):
    """Every .py file of the standard library but its tests, one document each. No options."""

    def fingerprint(self) -> str:
        from harness.data.files import fingerprint
        from harness_plugins.corpus.python_stdlib.python_stdlib import files

        return fingerprint(files(), field="")

    def build(self) -> FileCorpus:
        from harness_plugins.corpus.python_stdlib.python_stdlib import build

        return build()


@hookimpl
def register_corpus() -> dict[str, type]:
    return {"python_stdlib": PythonStdlib}
