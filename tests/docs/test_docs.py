"""What the documents tell people to type works: commands compose, the cheap ones run, the plugin is a plugin."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from harness.cli import VERBS, main

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]


def blocks(page):
    return re.findall(r"```(\w*)\n(.*?)```", page.read_text(), re.S)


def commands():
    for page in PAGES:
        for language, text in blocks(page):
            for line in text.splitlines() if not language else []:
                if line.startswith("harness "):
                    words = shlex.split(line, comments=True)[1:]
                    yield pytest.param(words, id=" ".join(words))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with one finished tiny run, in which the commands are typed."""
    folder, before = tmp_path_factory.mktemp("docs"), Path.cwd()
    os.chdir(folder)
    assert main(["train", "experiment=tiny", "budget.tokens=4096", "suite=null"]) == 0
    yield folder
    os.chdir(before)


@pytest.mark.parametrize("words", list(commands()))
def test_a_command_in_the_documents_is_understood(words, folder, capsys):
    """What would take long is asked about instead: `train` by `why`, `study` by `plan`, the verbs that
    need a model of their own for help."""
    (trained,) = (path.parent.name for path in folder.glob("runs/*/manifest.json"))
    words = [word.replace("<id>", trained) for word in words]
    verb, rest = words[0], words[1:]
    assert verb in VERBS
    if "--cfg" in rest:
        pass
    elif words == ["plugins", "matrix"]:
        words = [*words, "adapter=lora"]
    elif verb == "train":
        words = ["why", *(w.split(",")[0] if "-m" in rest else w for w in rest if w != "-m")]
    elif verb == "study":
        words = ["plan", *rest]
    elif verb == "fit":
        words = ["plan", "quickstart"] if "quickstart" in rest else ["fit", "--help"]
    elif verb in ("score", "import", "export", "sync", "report"):
        words = [verb, "--help"]
    assert main(words) == 0


@pytest.mark.slow
def test_the_plugin_of_the_documents_is_a_plugin(tmp_path):
    (source,) = [t for language, t in blocks(ROOT / "docs/plugins.md") if language == "python" and "# my_norms.py" in t]
    (tmp_path / "my_norms.py").write_text(source)
    typed = [
        line
        for _, t in blocks(ROOT / "docs/plugins.md")
        for line in t.splitlines()
        if line.startswith("HARNESS_PLUGINS=")
    ]
    assert len(typed) == 2
    env = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    listed, trained = (
        subprocess.run(
            ["bash", "-c", f"{line} {more}"], cwd=tmp_path, env=env, capture_output=True, text=True, check=True
        ).stdout
        for line, more in zip(typed, ["", "budget.tokens=4096 suite=null"], strict=True)
    )
    assert re.search(r"norm +clip .*healthy", listed)
    assert "trained: held-out loss" in trained


@pytest.mark.slow
def test_the_alignment_of_the_documents_is_installed_and_trains(tmp_path, folder):
    """Into a folder of its own, by the project file of the page; its parent is the run that is there already."""
    page = blocks(ROOT / "docs/plugins.md")
    (project,) = [text for language, text in page if language == "toml"]
    (tmp_path / "pyproject.toml").write_text(project.replace("my_norms", "my_simpo").replace("my-norms", "my-simpo"))
    (tmp_path / "src/my_simpo").mkdir(parents=True)
    for language, text in page:
        if language == "python" and text.startswith("# src/my_simpo/"):
            (tmp_path / text.partition("\n")[0].removeprefix("# ")).write_text(text)
    (typed,) = [text.splitlines() for language, text in page if language == "sh"]
    install, train = typed
    site, (parent,) = tmp_path / "site", (path.parent.name for path in folder.glob("runs/*/manifest.json"))
    env = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", "PYTHONPATH": str(site)}
    install = install.replace("pip", f"{sys.executable} -m pip", 1)
    options = f"--no-deps --no-build-isolation --quiet --target={site}"
    subprocess.run(f"{install} {options}", shell=True, cwd=tmp_path, check=True, capture_output=True)
    command = f"{train.replace('<id>', parent)} budget.steps=3 budget.tokens=null suite=null"
    done = subprocess.run(command, shell=True, cwd=folder, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert re.search(r"trained: held-out loss .*preference_accuracy", done.stdout)


def changed(text, diff):
    """A text in which the lines of a diff that begin with - are those that begin with +."""
    old, new = ("".join(f"{line[1:]}\n" for line in diff.splitlines() if line[0] == sign) for sign in "-+")
    assert text.count(old) == 1, old
    return text.replace(old, new)


@pytest.mark.slow
def test_the_first_plugin_grows_as_its_tutorial_says(tmp_path):
    """Step by step; it is installed into a folder of its own, and trains for three steps."""
    page = (ROOT / "docs/plugins.md").read_text().partition("## The smallest one")[0]
    told = re.findall(r"```(\w+)\n(.*?)```", page, re.S)
    begin, end = [text.splitlines() for language, text in told if language == "bash"]
    *changes, mistake = [text for language, text in told if language == "diff"]
    site, home = tmp_path / "site", tmp_path / "harness-attention-cosine"
    env = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}

    def typed(line, folder=home, expected=0):
        done = subprocess.run(["bash", "-c", line], cwd=folder, env=env, capture_output=True, text=True, check=False)
        assert done.returncode == expected, done.stdout + done.stderr
        return done.stdout

    new, _, install, test, train = begin
    typed(new, tmp_path)
    install = install.replace("pip", f"{sys.executable} -m pip", 1).replace("-e ", "")
    typed(f"{install} --no-deps --no-build-isolation --quiet --target={site}")
    env["PYTHONPATH"] = f"{home / 'src'}:{site}"  # the sources first, as an editable installation has them
    assert " passed" in typed(test)
    idea = home / "src/harness_attention_cosine/idea.py"
    for change in changes:
        idea.write_text(changed(idea.read_text(), change))
    assert " passed" in typed(test)
    assert "trained: held-out loss" in typed(f"{train} budget.tokens=null budget.steps=3 suite=null")
    right = idea.read_text()
    idea.write_text(changed(right, mistake))
    (leak,) = re.findall(r"^> (A leak .*?\(row \d+\)\.)$", page, re.S | re.M)
    words = re.sub(r"\S+e[+-]\d+", "…", " ".join(leak.replace("> ", "").split()))
    assert words in re.sub(r"\S+e[+-]\d+", "…", typed(test, expected=1))
    idea.write_text(right)
    compare, build = end
    typed(re.sub("=[^ ]*,", "=", compare.replace("train -m", "why")))  # the last of its runs, asked about
    typed(f"{build} --wheel --no-isolation")
    assert [path.name for path in (home / "dist").glob("*.whl")] == ["harness_attention_cosine-0.1.0-py3-none-any.whl"]


def test_every_page_that_is_linked_exists():
    for page in PAGES:
        for target in re.findall(r"\]\((?!http)([^)#]+)\)", page.read_text()):
            assert (page.parent / target).exists(), f"{page.name} links to {target}"
