"""What a model is told to be before it is made."""

from pathlib import Path

from harness.composition import run_config
from harness.config import to_mapping
from harness.files import new_folder, write_json
from harness.planning.cost import description
from harness.planning.plan import resolve
from harness.rundir import RunDir


def test_a_model_with_its_parents_tokenizer_has_as_many_tokens(tmp_path: Path):
    (tmp_path / "few.txt").write_text("abc " * 2000)
    (tmp_path / "many.txt").write_text("".join(map(chr, range(33, 127))) * 200)
    words = ["experiment=tiny", "corpus=text", "tokenizer=characters", "data.held_out=0", f"runs={tmp_path}"]
    parent = resolve(run_config([*words, f"corpus.path={tmp_path / 'many.txt'}"]))
    run = RunDir(tmp_path / parent.id)
    write_json(run.path / "config.json", to_mapping(parent.config))
    told = {"budget": {"steps": parent.steps}, "model": {"vocabulary": parent.vocabulary}, "result": {"steps": 1}}
    run.update_manifest(state="finished", identity=parent.identity, **told)
    for folder in (run.path / "tokenizer", run.checkpoint(1)):
        with new_folder(folder) as made:
            parent.dataset().tokenizer.save(made)
    few = [*words, f"corpus.path={tmp_path / 'few.txt'}"]
    alone, child = (description(run_config([*few, *more])) for more in ([], [f"parents.init={run.id}"]))
    assert child["vocabulary"] == parent.vocabulary > alone["vocabulary"]
    assert child["parameters"] == parent.account.total
