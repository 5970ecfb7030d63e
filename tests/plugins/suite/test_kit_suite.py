"""Every suite keeps what its kind promises."""

import json

import pytest

from harness.config import plugin_config
from harness.testing import SuiteKit

SUMS = """
task: sums
dataset_path: json
dataset_kwargs: {{data_files: {{test: {data}}}}}
test_split: test
output_type: multiple_choice
doc_to_text: "{{{{question}}}}"
doc_to_target: answer
doc_to_choice: choices
metric_list: [{{metric: acc, aggregation: mean, higher_is_better: true}}]
"""


class TestLmEval(SuiteKit):
    """A folder with one task."""

    @pytest.fixture(autouse=True)
    def _folder(self, tmp_path, monkeypatch):
        import datasets

        monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
        monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
        rows = [{"question": f"{a} + 1 =", "choices": [str(a), str(a + 1)], "answer": 1} for a in range(5)]
        (tmp_path / "sums.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        (tmp_path / "sums.yaml").write_text(SUMS.format(data=tmp_path / "sums.jsonl"))
        self.config = plugin_config("suite", {"name": "lm_eval", "include": str(tmp_path)}, "suite")


class TestOffline(SuiteKit):
    config = plugin_config("suite", {"name": "offline", "documents": 4, "pairs": 4, "problems": 4, "limit": 4}, "suite")


class TestStages(SuiteKit):
    config = plugin_config(
        "suite",
        {
            "name": "stages",
            "documents": 4,
            "pairs": 0,
            "problems": 4,
            "held_out": 0.5,
            "text": {"name": "synthetic", "documents": 20},
        },
        "suite",
    )
