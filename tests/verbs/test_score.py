"""harness score: what it says beside the scores."""

from pathlib import Path

import pytest

from harness.cli import main
from harness.rundir import RunDir

QUIET = ["suite.pairs=0", "suite.problems=0", "suite.documents=4"]


@pytest.mark.slow
def test_scores_of_a_run_on_other_data_than_its_parents_come_with_what_can_be_compared(tmp_path, monkeypatch, capsys):
    """Where a person looks for what fine-tuning has gained: beside the run's own scores."""
    monkeypatch.chdir(tmp_path)
    words = ["experiment=tiny", "budget.tokens=2048", "suite=null", "tokenizer=bytes", "corpus=text"]
    for name, line in (("one", "Words of one kind"), ("other", "Lines of another")):
        Path(name).mkdir()
        for i in range(60):
            Path(name, f"{i}.txt").write_text(f"{line}, number {i}.\n" * 8)
    assert main(["train", *words, "corpus.path=one"]) == 0
    (parent,) = [RunDir(path.parent) for path in Path("runs").glob("*/manifest.json")]
    assert main(["train", *words, "corpus.path=other", f"parents.init={parent.id}"]) == 0
    (child,) = [run for path in Path("runs").glob("*/manifest.json") if (run := RunDir(path.parent)) != parent]
    for run, said in ((parent, False), (child, True)):
        capsys.readouterr()
        assert main(["score", f"run={run.id}", "suite=offline", *QUIET]) == 0
        out, err = capsys.readouterr()
        assert "bits_per_byte" in out
        assert ("suite=stages" in err) is said
