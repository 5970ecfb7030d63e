"""Any of lm-eval's tasks: those that it ships, a folder of task files, or folders that plugins bring."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness import hookimpl
from harness.config import ConfigError, option
from harness.interfaces.suite import HeldOut, SuiteConfig

HARNESS_INTERFACE = 1


@dataclass(kw_only=True)
class LmEvalConfig(SuiteConfig):
    """lm-eval's tasks, groups and tags by name, as suite=lm_eval suite.tasks=[arc_easy]."""

    tasks: list[str] = option([], "names of tasks, groups and tags; empty: all tasks of include")
    include: str | None = option(None, "a folder of lm-eval task files (YAML)")
    num_fewshot: int | None = option(None, "solved examples before each question; null: what the task says", minimum=0)
    allow_code: list[str] = option([], "tasks that may run code: their files' own, or what the model writes")

    def check(self) -> None:
        if not self.tasks and not self.include:
            raise ConfigError(
                "tasks is empty. Name some, as suite.tasks=[arc_easy], or give a folder of task files as suite.include."
            )

    def fingerprint(self) -> str:
        from harness.files import checksum

        folder = Path(self.include or "")
        files = sorted(path for path in folder.rglob("*") if path.is_file()) if self.include else []
        return json.dumps([super().fingerprint(), {str(path.relative_to(folder)): checksum(path) for path in files}])

    def build(self, held_out: Sequence[HeldOut], tokenizer: Any) -> dict[str, Any]:
        from harness_plugins.suite.lm_eval.tasks import build

        return build(self)


@hookimpl
def register_suite() -> dict[str, type]:
    return {"lm_eval": LmEvalConfig}
