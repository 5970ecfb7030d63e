"""Any data set that `datasets` reads: from a folder or a file here, or by its name on the Hub."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from harness import hookimpl
from harness.config import option
from harness.data.rows import FORMATS
from harness.interfaces.corpus import DOCUMENTS, CorpusConfig

if TYPE_CHECKING:
    from harness.data.files import ExampleFiles, FileCorpus

HARNESS_INTERFACE = 1


@dataclass(kw_only=True)
class HuggingFace(CorpusConfig):
    """A folder of save_to_disk or of parquet, JSONL, Arrow, CSV files, one such file, or a name on the Hub.

    Its documents, or examples (`format`), are written to the cache once, as they come; what is fetched from the Hub is
    not asked for again, and `documents` and `bytes` bound it. What determines a result is the content, in order. Code
    that comes with a data set is never run.
    """

    path: str = option(
        help="a folder or a file here, else a name on the Hub, such as Salesforce/wikitext", identity=False
    )
    config: str | None = option(None, "one of the data set's configurations; null: its only one", identity=False)
    split: str = option("train", "the split", identity=False)
    format: str = option(
        "text",
        "what a row is: a document, or an example of a format as corpus=examples has them",
        identity=False,
        choices=("text", "auto", *FORMATS),
    )
    field: str = option("text", "the field that holds the document; rows where it is null are empty", identity=False)
    revision: str | None = option(
        None, "a commit, branch or tag on the Hub; null: the newest, when it is first fetched", identity=False
    )
    documents: int | None = option(
        None, "documents or examples, from the first on; null: all", identity=False, minimum=1
    )
    bytes: int | None = option(None, "none is begun after so many bytes of them; null: all", identity=False, minimum=1)

    def form(self) -> str:
        if self.format == "text":
            return DOCUMENTS
        return FORMATS[self._examples().format].form

    def fingerprint(self) -> str:
        from harness.data.files import examples_fingerprint, fingerprint
        from harness_plugins.corpus.hf.hf import ingested

        return (
            fingerprint([ingested(self)], "text") if self.format == "text" else examples_fingerprint(self._examples())
        )

    def build(self) -> FileCorpus:
        from harness.data.files import FileCorpus
        from harness_plugins.corpus.hf.hf import ingested

        file = ingested(self)
        return FileCorpus([file], root=file.parent) if self.format == "text" else self._examples()

    def _examples(self) -> ExampleFiles:
        from harness.data.files import ExampleFiles
        from harness_plugins.corpus.hf.hf import ingested

        file = ingested(self)
        return ExampleFiles([file], self.format, root=file.parent)


@hookimpl
def register_corpus() -> dict[str, type]:
    return {"hf": HuggingFace}
