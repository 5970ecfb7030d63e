"""Plugins are found, and one that is broken never stops the program."""

import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from harness.cli import main
from harness.errors import UserError
from harness.plugins import load
from harness.registry import Entry, Registry, is_name


@pytest.fixture
def plugin_module(tmp_path, monkeypatch):
    """Writes a plugin module, names it in HARNESS_PLUGINS, and gives what is then loaded."""

    def make(source: str, name: str):
        (tmp_path / f"{name}.py").write_text(textwrap.dedent(source))
        monkeypatch.syspath_prepend(str(tmp_path))
        monkeypatch.setenv("HARNESS_PLUGINS", name)
        load.cache_clear()
        return load()

    yield make
    load.cache_clear()


HEALTHY = """
    from dataclasses import dataclass
    from harness import hookimpl
    from harness.interfaces.parts import NormConfig
    HARNESS_INTERFACE = 1

    @dataclass(kw_only=True)
    class TinyConfig(NormConfig):
        "A tiny norm."

    @hookimpl
    def register_norm():
        return {"tiny": TinyConfig}
"""


def test_a_module_named_in_the_environment_is_loaded(plugin_module):
    plugins = plugin_module(HEALTHY, "healthy_one")
    assert plugins.registry.get("norm", "tiny").__doc__ == "A tiny norm."
    assert plugins.registry.entry("norm", "tiny").distribution == "HARNESS_PLUGINS"


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("import there_is_no_such_module", "ModuleNotFoundError: No module named 'there_is_no_such_module'"),
        ("x = 1", "does not state HARNESS_INTERFACE = 1"),
        ("HARNESS_INTERFACE = 99", "is written for interface 99"),
        (
            """
            from harness import hookimpl
            HARNESS_INTERFACE = 1
            @hookimpl
            def register_noorm():
                return {}
            """,
            "register_noorm",
        ),
        (
            """
            from harness import hookimpl
            HARNESS_INTERFACE = 1
            @hookimpl
            def register_norm():
                raise RuntimeError("no luck")
            """,
            "RuntimeError: no luck",
        ),
        ("def broken(:", "SyntaxError"),
        (
            """
            from harness import hookimpl
            HARNESS_INTERFACE = 1
            @hookimpl
            def register_norm():
                return {"plain": dict}
            """,
            "register_norm gives <class 'dict'> for plain",
        ),
        (
            """
            from dataclasses import dataclass
            from harness import hookimpl
            from harness.interfaces.parts import NormConfig
            HARNESS_INTERFACE = 1
            @dataclass(kw_only=True)
            class Needy(NormConfig):
                epsilon: float
            @hookimpl
            def register_norm():
                return {"needy": Needy}
            """,
            "missing 1 required keyword-only argument: 'epsilon'",
        ),
        (
            """
            from harness import hookimpl
            HARNESS_INTERFACE = 1
            @hookimpl
            def config_folders():
                raise RuntimeError("no folder")
            """,
            "RuntimeError: no folder",
        ),
        (
            """
            from harness import hookimpl
            HARNESS_INTERFACE = 1
            @hookimpl
            def register_nrom():
                return {}
            """,
            "register_nrom is no hook. Did you mean register_norm",
        ),
    ],
)
def test_a_broken_plugin_is_recorded_and_named_when_something_is_missing(plugin_module, source, reason, request):
    name = f"broken_{abs(hash(source))}"
    plugins = plugin_module(source, name)
    broken = next(p for p in plugins.found if p.name == name)
    assert reason in broken.error
    with pytest.raises(UserError, match=f"may have owned it: .*{name}"):
        plugins.registry.get("norm", "what_it_may_have_had")


def test_a_name_with_two_owners_clashes_and_can_be_reached_with_its_distribution():
    registry = Registry()
    for distribution in ("here", "there"):
        registry.add(Entry("norm", "rms", type(distribution, (), {}), distribution, "1"))
    with pytest.raises(UserError, match="owned by more than one distribution. Choose here:rms or there:rms"):
        registry.get("norm", "rms")
    assert registry.get("norm", "there:rms").__name__ == "there"
    assert registry.names("norm") == ["here:rms", "there:rms"]


def test_an_objective_and_an_alignment_of_one_name_clash():
    registry = Registry()
    for kind in ("objective", "alignment"):
        registry.add(Entry(kind, "same", type(kind, (), {}), "here", "1"))
    with pytest.raises(UserError, match="same is an objective and an alignment"):
        registry.get("method", "same")


def test_none_together_with_names_is_refused(monkeypatch):
    monkeypatch.setenv("HARNESS_PLUGINS", "none,other")
    load.cache_clear()
    with pytest.raises(UserError, match="mixes none with names"):
        load()
    load.cache_clear()


def test_every_first_party_plugin_is_healthy():
    assert {p.name: p.error for p in load().found if p.error} == {}


def test_every_folder_of_a_plugin_has_its_line_in_the_entry_point_table():
    import tomllib

    root = Path(__file__).parent.parent
    table = tomllib.loads((root / "pyproject.toml").read_text())["project"]["entry-points"]["harness.plugins"]
    folders = {
        str(f.parent.relative_to(root / "plugins")).replace("/", ".")
        for f in (root / "plugins/harness_plugins").glob("*/*/__init__.py")
    }
    assert set(table.values()) == folders


def test_the_columns_of_the_list_are_as_wide_as_what_stands_in_them(plugin_module, capsys):
    plugin_module("HARNESS_INTERFACE = 1", "a_name_longer_than_those_of_most_plugins")
    main(["plugins"])
    head, *lines = capsys.readouterr().out.splitlines()
    place = head.index("health")
    assert all(line[place - 2 : place] == "  " and line[place] != " " for line in lines)


def test_listing_plugins_imports_neither_torch_nor_hydra():
    code = "import sys, harness.cli; harness.cli.main(['plugins']); harness.cli.main(['--help']); print([m for m in ('torch', 'hydra', 'numpy') if m in sys.modules])"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert out.splitlines()[-1] == "[]"


@pytest.mark.parametrize(
    ("number", "name"), list(enumerate(["null", "True", "nan", "inf", "no", "12", "1e3", "a.b", "a,b", ""]))
)
def test_a_name_that_yaml_reads_as_a_value_is_refused(number, name, plugin_module):
    module = f"called_so_{number}"
    plugin = next(p for p in plugin_module(HEALTHY.replace('"tiny"', repr(name)), module).found if p.name == module)
    assert f"register_norm gives the name {name}: a name is a letter and then" in plugin.error


@given(st.text("abefilnostuyABEFINTU0123456789_-.,+=:", min_size=1, max_size=6))
def test_what_is_a_name_is_text_wherever_it_is_written(word):
    from hydra.core.override_parser.overrides_parser import OverridesParser

    if is_name(word):
        assert yaml.safe_load(word) == word
        assert OverridesParser.create().parse_override(f"norm={word}").value() == word
