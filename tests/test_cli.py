"""What a person meets at the command line: help, errors in one paragraph, exit codes, nothing left behind."""

import gzip
import json
import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from harness.cli import VERBS, main
from harness.rundir import RunDir

TINY = ["experiment=tiny", "budget.tokens=4096", "suite=null"]


@pytest.fixture
def here(tmp_path, monkeypatch):
    """An empty folder to work in."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A folder with one tiny run in ./runs."""
    folder = tmp_path_factory.mktemp("trained")
    before = Path.cwd()
    os.chdir(folder)
    try:
        assert main(["train", *TINY]) == 0
    finally:
        os.chdir(before)
    return folder


def run_of(folder):
    return next((folder / "runs").glob("*/manifest.json")).parent


def last_weights(run):
    return load_file(sorted((run / "checkpoints").rglob("model.safetensors"))[-1])


# -------------------------------------------------------------------------------------------- help


@pytest.mark.parametrize("words", [[], ["--help"], ["--version"], *([verb, "--help"] for verb in VERBS)])
def test_help_is_an_answer_and_not_an_error(words, capsys, here):
    assert main(words) == 0
    assert capsys.readouterr().out.startswith(("Controlled", "harness 0", *(verb.summary for verb in VERBS.values())))


def test_the_help_of_train_lists_groups_options_and_presets_with_a_line_each(capsys):
    main(["train", "--help"])
    lines = capsys.readouterr().out.splitlines()
    for name in ("python_stdlib", "gpt2_124m", "rotary", "adamw", "ladder", "data.batch_size=8"):
        (line,) = [line for line in lines if line.split() and line.split()[0] == name]
        assert len(line.split()) > 2, f"{name} has no description"
    assert not [line for line in lines if "(*, " in line], "a dataclass's signature is no description"
    (line,) = [line for line in lines if line.split()[:1] == ["t5_small"]]
    assert line.endswith("."), "a comment of several lines is a description as a whole"


def test_on_a_terminal_help_keeps_within_its_width(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    main(["train", "--help"])
    groups, options = capsys.readouterr().out.split("Flags:")[0].split("Options, set by")
    assert max(len(line) for line in (groups + options).splitlines()) <= 80
    assert "  parents.continue=null" in options


@pytest.mark.parametrize(
    ("words", "key", "type", "help"),
    [
        (["alignment=grpo"], "method.group=8", "(int)", "completions of each prompt"),
        (
            ["alignment=grpo", "alignment/reward=parses"],
            "method.reward.least=16",
            "(int)",
            "tokens that the lines hold",
        ),
        (["alignment/reward=parses"], "method.reward.least=16", "(int)", "tokens that the lines hold"),
        (["adapter=lora", "seed=1"], "adapter.rank=8", "(int)", "rank"),
        (["quantizer=int8", "objective=null"], "quantizer.activations=none", "(str)", "products in floats"),
        (["-m", "optimizer=adamw,muon"], "optimizer.momentum=0.95", "(float)", "momentum"),
        (["-m", "adapter=null,lora"], "adapter.rank=8", "(int)", "rank"),
        (
            ["architecture/feedforward=mixture_of_experts"],
            "architecture.feedforward.expert=gated",
            "(feedforward)",
            "what each expert is",
        ),
        (
            ["architecture/feedforward=mixture_of_experts"],
            "architecture.feedforward.expert.activation=silu",
            "(str)",
            "SwiGLU",
        ),
        (
            ["architecture/feedforward=mixture_of_experts", "architecture/feedforward/expert=mlp"],
            "architecture.feedforward.expert.activation=gelu",
            "(str)",
            "the activation",
        ),
        (["corpus=text"], "corpus.path=?", "(str | list[str])", "a file, a folder, a glob"),
        (["architecture=gpt2_124m"], "architecture.position.length=1024", "(int)", "places"),
    ],
)
def test_help_tells_the_options_of_what_is_chosen(words, key, type, help, capsys, here):
    assert main(["train", *words, "--help"]) == 0
    lines = capsys.readouterr().out.splitlines()
    (line,) = {line.strip() for line in lines if line.split()[:1] == [key]}
    assert line.endswith(type)
    assert help in line


def test_help_says_how_to_see_the_options_of_a_plugin(capsys):
    main(["train", "--help"])
    assert "Options of a plugin: harness train alignment=grpo --help" in capsys.readouterr().out
    main(["score", "--help"])
    assert "Options of a plugin: harness score suite=" in capsys.readouterr().out
    main(["train", "tokenizer=bytes", "--help"])
    assert "Options of tokenizer=bytes:\n  It has none.\n" in capsys.readouterr().out


def test_the_help_of_plan_names_the_sweeps(capsys, here):
    for verb in ("plan", "study"):
        assert main([verb, "quickstart", "optimizer=muon", "--help"]) == 0
        told = capsys.readouterr().out
        assert "optimizer.momentum=0.95" in told
        assert "quickstart" in told.splitlines()[-1].removeprefix("Sweeps: ").rstrip(".").split(", ")


def test_help_shows_what_a_preset_sets(capsys):
    main(["describe", "architecture=gpt2_124m", "scale=ladder", "--help"])
    told = capsys.readouterr().out
    assert "architecture.feedforward.activation=gelu_tanh" in told
    assert "architecture.position.base" not in told, "rotary's, which GPT-2 has not"
    assert "scale.width=64 " in told


@pytest.mark.parametrize(
    ("words", "seconds"),
    [(["--help"], 0.5), (["plugins"], 0.5), (["train", "--help"], 1.0), (["train", "architectur=x"], 1.0)],
)
def test_answers_come_at_once(words, seconds, here):
    """In seconds of the processor, which other processes on the same cores do not lengthen much; the least of three."""
    taken = []
    for _ in range(3):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run([sys.executable, "-m", "harness.cli", *words], capture_output=True, check=False)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        taken.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    assert min(taken) < seconds


# ------------------------------------------------------------------------------------------- errors

MANGLED = {
    "mangled.csv": "N,D,loss\n1,2\n",
    "words.csv": "N,D,loss\n1,two,3\n",
    "rows.jsonl": '{"text": "a"}\n{"text": \n',
    "not_a_mapping.yaml": "- a\n",
    "not_yaml.yaml": "a: [\n",
    "twice.yaml": "base: [experiment=tiny]\nvariants: {one: [], same: []}\naxes: {seed: [0, 1]}\n",
    "unknown_key.yaml": "axis: {}\n",
    "uneven.yaml": "zip: {seed: [1, 2], data.batch_size: [1]}\n",
    "no_list.yaml": "axes: {seed: 3}\n",
    "unknown_analysis.yaml": "analyses: [chinchila]\n",
    "bad_axis.yaml": "axes: {data.bach_size: [1]}\n",
    "empty.txt": "",
    "binary.txt": b"\xff\xfe\x00",
    "binary.yaml": b"axes: \xff",
    "cut.jsonl.gz": gzip.compress(b'{"text": "a"}\n')[:20],
}

WRONG = {
    # each verb's arguments
    "no such verb": (["trian"], "Did you mean train?"),
    "score without a run": (["score"], "run has no value"),
    "score of no run": (["score", "run=zzz"], "There is no run zzz"),
    "generate without a run": (["generate"], "run has no value"),
    "generate of no run": (["generate", "run=zzz", "prompt=a, b"], "There is no run zzz"),
    "generate with an unknown sampler": (["generate", "run=zzz", "sampler=beam"], "sampler=beam is unknown"),
    "generate with a bad temperature": (["generate", "run=zzz", "sampler.temperature=0"], "choose sampler=greedy"),
    "generate of too many tokens": (["generate", "run=zzz", "tokens=1000000000"], "tokens=1000000000 is too large"),
    "diff of one run": (["diff", "zzz"], "needs two runs"),
    "diff of no run": (["diff", "zzz", "yyy"], "There is no run zzz"),
    "diff with a bad flag": (["diff", "zzz", "yyy", "--jsn"], "Did you mean --json"),
    "completion of no shell": (["completion", "tcsh"], "Known are bash, fish, zsh"),
    "study without a name": (["study"], "needs the name of a sweep"),
    "study with two names": (["study", "a", "b"], "found a and b"),
    "plan of a run": (
        ["plan", "architecture=gpt2_124m"],
        "What a single run would be, `harness describe architecture=gpt2_124m` tells.",
    ),
    "plan with a bare word": (["plan", "quickstart", "seed"], "found quickstart and seed. What its runs are to have"),
    "plan, misspelt, with overrides": (["plan", "quickstat", "seed=1"], "Did you mean quickstart?"),
    "plan of many": (["plan", "quickstart", "-m", "seed=0,1"], "`harness plan <sweep> seed=0,1`"),
    "a study's config of no sweep": (["study", "--cfg", "job"], "harness study needs the name of a sweep"),
    "no such study": (["study", "quickstrat"], "Did you mean quickstart?"),
    "plan with a bad rate": (["plan", "quickstart", "rate=fast"], "rate=fast is not a positive number"),
    "report of no study": (["report", "nothing"], "There is no study nothing"),
    "status of no study": (["status", "nothing"], "There is no study nothing"),
    "status of no runs": (["status"], "there is no such folder"),
    "results of no runs": (["results"], "there is no such folder"),
    "results with a bad flag": (["results", "--cvs"], "Did you mean --csv"),
    "sql without a query": (["results", "--sql"], "--sql needs a query"),
    "why of no run": (["why", "zzz"], "There is no run zzz"),
    "plugins takes no words": (["plugins", "x"], "x is not understood"),
    "plugins, misspelt": (["plugins", "newer"], "Did you mean new?"),
    "fit of nothing": (["fit"], "needs a CSV file"),
    "an unknown flag": (["train", "--fast"], "--fast is not a flag"),
    # config: groups, options, values
    "a word that is no override": (["train", "fast"], "cannot be read as key=value"),
    "an unknown option": (["train", "architecture.widht=3"], "Did you mean architecture.width?"),
    "an unknown group": (["train", "architectur=llama"], "Did you mean architecture"),
    "a new key": (["train", "+a.b=1"], "a is not an option"),
    "a group, misspelt": (["train", "experimnt=tiny"], "Did you mean experiment?"),
    "a key near to none": (
        ["train", "foo=1"],
        "foo is not an option. Known are adapter, alignment, analysis, architecture, budget, ",
    ),
    "data too few for one place": (
        ["train", "experiment=tiny", "corpus=synthetic", "tokenizer=bytes", "data.sequence_length=100000000"],
        "too few for a sequence of data.sequence_length",
    ),
    "several values of one run": (
        ["train", "seed=1,2"],
        "seed=1,2 has several values: one run for each is trained by -m",
    ),
    "an option of another architecture": (
        ["train", "experiment=tiny", "architecture=lstm", "architecture.attention.heads=2"],
        "architecture.attention is not an option of lstm",
    ),
    "a kind without a name": (
        ["plugins", "matrix", "quantizer"],
        "quantizer is a kind: say which of it. Known are int8",
    ),
    "a new key in a group": (["train", "+architecture.b=1"], "architecture.b is not an option"),
    "an objective's option": (["train", "objective.x=1"], "stand under method"),
    "no folder for the runs": (["train", "runs="], "runs is empty"),
    "a group's choice that is a number": (["train", "+architecture/attention=${root:4}"], "a group's choice is a name"),
    "a broken interpolation": (["train", "architecture.width=${nothing}"], "nothing"),
    **{
        f"an unknown {group}": (["train", f"{group}=no_such_thing"], f"{group}=no_such_thing is unknown. Known are ")
        for group in (
            "corpus",
            "tokenizer",
            "architecture",
            "architecture/attention",
            "architecture/position",
            "architecture/norm",
            "architecture/feedforward",
            "architecture/head",
            "objective",
            "optimizer",
            "schedule",
            "suite",
            "scale",
            "trainer",
            "launcher",
            "experiment",
        )
    },
    **{
        f"no {group}": (["train", f"{group}=null"], "has no value")
        for group in ("corpus", "tokenizer", "architecture", "objective", "optimizer", "schedule")
    },
    "a type": (["train", "architecture.width=wide"], "architecture.width='wide' is not a whole number"),
    "a bound": (["train", "data.batch_size=0"], "data.batch_size=0 is too small"),
    "a choice": (["train", "trainer.precision=fp8"], "trainer.precision='fp8' is not possible"),
    "heads that do not divide": (["train", "architecture.attention.heads=7"], "heads"),
    "a micro-batch that does not divide": (["train", "trainer.micro_batch=3"], "does not divide"),
    "too small a vocabulary": (["train", "architecture.vocabulary=10"], "smaller than the tokenizer's 512"),
    "too long for the positions": (
        ["train", "architecture/position=learned", "architecture.position.length=64"],
        "can see: at most 64 tokens",
    ),
    "a mix of nothing": (["train", "corpus=mix"], "sources is empty"),
    "an unknown corpus in a mix": (["train", "corpus=mix", "+corpus.sources.a={name: nope, weight: 1}"], "nope"),
    "an unknown block": (["train", "architecture.pattern=[nope]"], "pattern names the block nope"),
    "an unknown name, and help": (["train", "alignment=gropo", "--help"], "Did you mean grpo?"),
    # files
    "no such text": (["train", "corpus=text", "corpus.path=nowhere"], "there is no such file"),
    "an empty text": (["train", "corpus=text", "corpus.path=empty.txt"], "has no text to train on"),
    "a mangled JSONL": (["train", "corpus=text", "corpus.path=rows.jsonl"], "rows.jsonl, line 2"),
    "a cut archive": (["train", "corpus=text", "corpus.path=cut.jsonl.gz"], "cut.jsonl.gz is damaged or cut short"),
    "no folder for hf": (["train", "corpus=hf"], "corpus.path has no value"),
    "no such folder for hf": (["train", "corpus=hf", "corpus.path=./no/where"], "no such name on the Hub"),
    "a budget of nobody": (["train", "budget.flops=1e30"], "tokens of this model: at most 1e+15"),
    "a binary text": (["train", "corpus=text", "corpus.path=binary.txt"], "binary.txt"),
    "no such csv": (["fit", "nowhere.csv"], "nowhere.csv"),
    "a csv with a short row": (["fit", "mangled.csv"], "mangled.csv"),
    "a csv with words": (["fit", "words.csv"], "two"),
    "no such sweep file": (["study", "nowhere.yaml"], "There is no sweep file nowhere.yaml"),
    "a sweep that is a list": (["study", "not_a_mapping.yaml"], "must be a mapping"),
    "a variant that is another one, planned": (["plan", "twice.yaml"], "one and same of twice are one run"),
    "a sweep that is no YAML": (["study", "not_yaml.yaml"], "is not YAML"),
    "a sweep that is no text": (["study", "binary.yaml"], "is not YAML"),
    "a sweep with an unknown key": (["study", "unknown_key.yaml"], "Did you mean axes?"),
    "a sweep with uneven lists": (["plan", "uneven.yaml"], "must be of one length"),
    "a sweep with no lists": (["plan", "no_list.yaml"], "to a list of values"),
    "a sweep with an unknown analysis": (["plan", "unknown_analysis.yaml"], "Did you mean chinchilla?"),
    "a sweep with an unknown axis": (["plan", "bad_axis.yaml"], "Did you mean batch_size?"),
    "an override of nothing": (["plan", "quickstart", "data.bach=1"], "data.bach"),
    # multirun
    "one wrong value of many": (["train", "-m", "seed=0,x"], "seed='x' is not a whole number"),
    "one wrong name of many": (["train", "-m", "architecture=no,transformer"], "architecture=no is unknown"),
    "an objective and an alignment of many": (
        ["train", "-m", "objective=sft", "alignment=null,dpo"],
        "objective=sft and alignment=dpo are both chosen",
    ),
    "a wrong name beside none": (["train", "-m", "adapter=null,lore"], "adapter=lore is unknown. Did you mean lora?"),
    "a new key, printed": (["train", "+a=1", "--cfg", "job"], "a is not an option"),
}


@pytest.mark.parametrize("case", WRONG)
def test_wrong_input_is_one_paragraph_and_leaves_nothing(case, here, capfd):
    for name, text in MANGLED.items():
        (here / name).write_bytes(text if isinstance(text, bytes) else text.encode())
    words, expected = WRONG[case]
    assert main(words) == 2
    told = capfd.readouterr()
    paragraph = " ".join(told.err.split())
    assert paragraph.startswith("harness: ")
    assert expected in paragraph
    assert "Traceback" not in paragraph
    assert "\n\n" not in told.err.strip()
    assert told.out == ""
    assert {path.name for path in here.iterdir()} == set(MANGLED)


def test_environment_variables_are_checked_too(here):
    env = {**os.environ, "HARNESS_PLUGINS": "none,other"}
    done = subprocess.run(
        [sys.executable, "-m", "harness.cli", "plugins"], env=env, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert "mixes none with names" in done.stderr


def test_a_folder_that_cannot_be_written_is_named(here, capfd):
    (here / "file").write_text("")
    assert main(["train", *TINY, "runs=file/runs"]) == 2
    assert "file/runs" in " ".join(capfd.readouterr().err.split())


def test_debug_shows_the_traceback(here):
    with pytest.raises(ValueError, match="is not a whole number"):
        main(["train", "--debug", "seed=x"])


# ---------------------------------------------------------------------------------------- the verbs


def test_a_run_asked_for_twice_is_trained_once(trained, monkeypatch, capsys):
    monkeypatch.chdir(trained)
    before = (run_of(trained) / "metrics.jsonl").stat().st_mtime_ns
    assert main(["train", *TINY]) == 0
    assert "reused" in capsys.readouterr().out
    assert (run_of(trained) / "metrics.jsonl").stat().st_mtime_ns == before


def test_why_says_what_would_be_reused(trained, monkeypatch, capsys):
    monkeypatch.chdir(trained)
    assert main(["why", run_of(trained).name[:6]]) == 0
    assert f"run {run_of(trained).name}: reuse. It is finished." in capsys.readouterr().out
    assert main(["why", *TINY, "seed=5"]) == 0
    assert ": train. There is no such run yet." in capsys.readouterr().out


def test_other_code_is_refused_with_both_ways_out(trained, monkeypatch, capsys):
    monkeypatch.chdir(trained)
    manifest = run_of(trained) / "manifest.json"
    kept = manifest.read_text()
    RunDir(manifest.parent).update_manifest(code={"released": False, "digest": "other"})
    try:
        assert main(["train", *TINY]) == 2
        paragraph = " ".join(capsys.readouterr().err.split())
        assert "reuse=any" in paragraph
        assert "retrain=true" in paragraph
        assert main(["train", *TINY, "reuse=any"]) == 0
    finally:
        manifest.write_text(kept)


def test_retrain_moves_the_old_directory_aside(here, capsys):
    assert main(["train", *TINY]) == 0
    first = run_of(here)
    weights = last_weights(first)
    assert main(["train", *TINY, "retrain=true"]) == 0
    assert (here / "runs/.aside" / f"{first.name}-1" / "manifest.json").exists()
    assert all(torch.equal(weights[name], tensor) for name, tensor in last_weights(first).items())
    capsys.readouterr()
    assert main(["why", first.name]) == 0
    assert f"run {first.name}: reuse." in capsys.readouterr().out, "it was asked to be trained again then, not now"


@pytest.mark.parametrize("flag", ["--json", "--csv", None])
def test_results_go_to_stdout(trained, monkeypatch, capsys, flag):
    monkeypatch.chdir(trained)
    assert main(["results", "--sql", "select id, tokens from runs", *([flag] if flag else [])]) == 0
    out = capsys.readouterr().out
    assert run_of(trained).name in out
    if flag == "--json":
        assert json.loads(out) == [{"id": run_of(trained).name, "tokens": 4096}]


def test_status_shows_the_run(trained, monkeypatch, capsys):
    monkeypatch.chdir(trained)
    assert main(["status", "--json"]) == 0
    (row,) = json.loads(capsys.readouterr().out)
    assert (row["id"], row["state"], row["step"], row["steps"]) == (run_of(trained).name, "finished", 4, 4)


def test_describe_gives_the_published_sizes(here, capsys):
    for preset, size in (("gpt2_124m", 124_439_808), ("llama2_7b", 6_738_415_616)):
        assert main(["describe", f"architecture={preset}", "--json"]) == 0
        assert json.loads(capsys.readouterr().out)["parameters"] == size


def test_multirun_carries_out_every_job(here, capfd):
    assert main(["train", "-m", *TINY, "seed=0,1,2"]) == 0
    assert len(list((here / "runs").glob("*/manifest.json"))) == 3
    assert {path.name for path in here.iterdir()} == {"runs"}


def test_one_of_many_runs_may_choose_nothing_of_a_group(here, capfd):
    words = ["experiment=tiny", "corpus=synthetic", "budget.tokens=4096", "suite=null", "watch.norms_every=null"]
    assert main(["train", "-m", *words, "tracker=null,tensorboard", "alignment=null", "seed=1"]) == 0
    assert len(list((here / "runs").glob("*/manifest.json"))) == 1, "a tracker is no part of a run's id"
    assert main(["train", "-m", *words, "scale=null,ladder"]) == 0
    assert len(list((here / "runs").glob("*/manifest.json"))) == 3


def test_hydras_flags_may_stand_anywhere_among_the_overrides(capsys):
    assert main(["train", "experiment=tiny", "--cfg", "job", "seed=7"]) == 0
    assert "seed: 7" in capsys.readouterr().out
