"""Policies of the house, kept by tests."""

import re
from pathlib import Path

import pytest

from harness import hookspecs
from harness.config import fields_of
from harness.help import group_options, groups
from harness.registry import registry
from harness.schema import RunConfig

ROOT = Path(__file__).parents[2]
SOURCES = sorted([*(ROOT / "harness").rglob("*.py"), *(ROOT / "plugins").rglob("*.py")])


def every_config():
    yield RunConfig
    for owners in registry().entries.values():
        yield from (owner.config for owner in owners)


@pytest.mark.parametrize("config", list(every_config()), ids=lambda c: f"{c.__module__}.{c.__name__}")
def test_every_option_says_what_it_is(config):
    assert [name for name, field in fields_of(config).items() if not field.metadata.get("help")] == []


@pytest.mark.parametrize("group", groups())
def test_every_choice_has_its_line_in_the_help(group):
    assert [name for name, line in group_options(group) if not line] == []


def test_every_hook_has_a_docstring():
    hooks = [f for name, f in vars(hookspecs).items() if hasattr(f, "harness_spec")]
    assert hooks
    assert [hook.__name__ for hook in hooks if not hook.__doc__] == []


def test_nothing_is_unpickled_or_evaluated():
    """Except what a child process of ours hands back: to Hydra through a private folder, its error through a pipe."""
    pattern = re.compile(r"(?<![.\w])(pickle\.loads?|torch\.load|eval|exec)\(|_target_|trust_remote_code=True")
    found = {str(f.relative_to(ROOT)) for f in SOURCES if pattern.search(f.read_text())}
    assert found <= {"harness/launch/hydra.py", "harness/launch/ranks.py", "plugins/hydra_plugins/harness_launcher.py"}


def test_the_packages_are_typed_and_short():
    too_long = {str(f.relative_to(ROOT)): n for f in SOURCES if (n := len(f.read_text().splitlines())) > 400}
    assert too_long == {}


def test_no_file_speaks_of_a_folder_of_this_machine():
    words = re.compile("|".join(re.escape(f"{folder}/") for folder in (ROOT, Path.home())))
    texts = [*SOURCES, *ROOT.glob("docs/*.md"), *ROOT.glob("conf/**/*.yaml"), ROOT / "README.md", ROOT / "Makefile"]
    assert [str(f.relative_to(ROOT)) for f in texts if words.search(f.read_text())] == []
