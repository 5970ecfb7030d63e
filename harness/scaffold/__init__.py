"""The distribution of a new plugin, written from one that works.

The folders beside this module, one for each kind, are plugins themselves, by the name `mine`: linted, typed and tested
as they stand. In what is written from them a few words are replaced, that name first of all.
"""

from __future__ import annotations

import ast
import re
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

from harness.errors import UserError

HERE = Path(__file__).parent

#: What is typed to see one at work; ``harness train experiment=mine`` where the kind is not among them.
USES = {
    **dict.fromkeys(
        ("adapter", "alignment", "quantizer", "reward"), "harness train experiment=mine parents.init=<run>"
    ),
    "analysis": "harness fit <study> analysis=mine",
    "likelihood": 'harness plugins  # a method names it: likelihood: ClassVar[str] = "mine"',
    "sampler": 'harness generate run=<run> prompt="It was" sampler=mine',
}


@dataclass(frozen=True)
class Distribution:
    """A plugin's kind and name, and what follows from them."""

    kind: str
    name: str

    @property
    def title(self) -> str:
        """As packages are called in an index. Kind and name are in it, so that an author may have many."""
        return "-".join(["harness", self.kind, *filter(None, re.split("[-_]", self.name.lower()))])

    @property
    def package(self) -> str:
        return self.title.replace("-", "_")

    @property
    def use(self) -> str:
        """A command that uses it."""
        return self.filled(USES.get(self.kind, "harness train experiment=mine"))

    def filled(self, text: str) -> str:
        """A template's text with its words replaced."""
        words = {"DISTRIBUTION": self.title, "PACKAGE": self.package, "KIND": self.kind}
        text = text.replace(f"harness.scaffold.{self.kind}", self.package)
        text = re.sub("|".join(words), lambda found: words[found.group()], text)
        class_name = "".join(part[:1].upper() + part[1:] for part in re.split("[-_]", self.name))
        return re.sub(r"\bmine\b", self.name, text.replace("Mine", class_name))

    def files(self) -> dict[str, str]:
        """Texts by path."""
        source = f"src/{self.package}"
        about = ast.get_docstring(ast.parse((HERE / self.kind / "__init__.py").read_text())) or ""
        found = {
            "pyproject.toml": (HERE / "project.toml").read_text(),
            "README.md": (HERE / "readme.md").read_text().replace("USE", self.use).replace("ABOUT", about),
            "tests/test_found.py": (HERE / "test_found.py").read_text(),
            "tests/test_plugin.py": (HERE / self.kind / "test_mine.py").read_text(),
        }
        for path in sorted((HERE / self.kind).rglob("*")):
            within = str(path.relative_to(HERE / self.kind))
            if path.suffix in (".py", ".yaml") and path.name != "test_mine.py":
                found[f"{source}/{within.replace('mine.yaml', f'{self.name}.yaml')}"] = path.read_text()
        return {path: self.filled(text) for path, text in found.items()}


def write(distribution: Distribution, folder: Path) -> None:
    """The whole folder or none of it. Raises UserError where there is one already, or no folder to put it into."""
    if folder.exists() or folder.is_symlink():
        raise UserError(f"{folder} is there already, and nothing is overwritten: say to=<another folder>.")
    if not folder.parent.is_dir():
        raise UserError(f"{folder.parent} is no folder: make it first, or say to=<another folder>.")
    beside = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name}-"))
    try:
        for path, text in distribution.files().items():
            (beside / path).parent.mkdir(parents=True, exist_ok=True)
            (beside / path).write_text(text, encoding="utf-8")
        beside.chmod(0o755)
        beside.rename(folder)
    finally:
        shutil.rmtree(beside, ignore_errors=True)
