"""Tables of sizes: presets as rows."""

import pytest

from harness.composition import compose
from harness.config import ConfigError
from harness.help import group_options, preset_folders
from harness.sizes import sizes_in

TABLE = """# Mine.
name , of       , what                 , width, attention.heads, head.tied
mine , gpt2_124m, "Wider, and not tied",   960,                , false
mine2, mine     , With more heads      ,      ,              16,
"""


@pytest.fixture
def table(tmp_path, monkeypatch):
    """The user's own, in conf/ of the folder where the harness is started."""
    folder = tmp_path / "conf" / "architecture"
    folder.mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    file = folder / "mine.csv"
    file.write_text(TABLE)
    return file


def test_a_row_is_a_preset_with_a_few_values_of_its_own(table):
    reference, mine, mine2 = (compose([f"architecture={name}"]).architecture for name in ("gpt2_124m", "mine", "mine2"))
    assert (mine.width, mine.attention.heads, mine.head.tied) == (960, reference.attention.heads, False)
    assert (mine2.width, mine2.attention.heads, mine2.head.tied) == (960, 16, False)
    assert mine2.layers == reference.layers


def test_what_the_command_line_says_still_wins(table):
    assert compose(["architecture=mine", "architecture.width=48"]).architecture.width == 48


def test_rows_stand_in_the_help_with_their_line(table):
    assert ("mine", "Wider, and not tied") in group_options("architecture")


def test_a_name_that_is_nearly_a_rows_is_told(table):
    with pytest.raises(ConfigError, match="Did you mean mine2"):
        compose(["architecture=mime2"])


@pytest.mark.parametrize(
    ("cell", "value"),
    [("16", 16), ("1e-5", 1e-5), ("3.5", 3.5), ("true", True), ("null", None), ("two_norms", "two_norms")],
)
def test_a_cell_is_read_as_its_value_is_written(table, cell, value):
    table.write_text(f"name, of, what, a.b\nmine, gpt2_124m, Mine, {cell}\n")
    (size,) = sizes_in(table.parent)
    assert size.values == {"a": {"b": value}}
    assert type(size.values["a"]["b"]) is type(value)


@pytest.mark.parametrize(
    ("text", "words"),
    [("", "no table of sizes"), ("name, width\nmine, 4\n", "no table of sizes"), (f"{TABLE}more, mine\n", "2 cells")],
)
def test_what_is_no_table_is_told(table, text, words):
    table.write_text(text)
    with pytest.raises(ConfigError, match=f"mine.csv.*{words}"):
        list(sizes_in(table.parent))


def test_no_name_stands_twice():
    """Neither in two tables nor in a table and in a file."""
    for folder in preset_folders():
        names = [file.stem for file in folder.glob("architecture/*.yaml")]
        names += [size.name for size in sizes_in(folder / "architecture")]
        assert len(names) == len(set(names))
