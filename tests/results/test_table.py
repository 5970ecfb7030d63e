"""A CSV of losses: what is read, and what is said of one that cannot be."""

import math

import pytest

from harness.errors import UserError
from harness.results.table import points_from_csv


def read(tmp_path, text, encoding="utf-8"):
    path = tmp_path / "ladder.csv"
    path.write_bytes(text.encode(encoding))
    return points_from_csv(path)


def test_columns_are_known_by_name_in_any_order_and_case(tmp_path):
    first, second = read(tmp_path, "Loss,note,n,D,run,seed,C\n3.5,x,1e6,2e7,a,1,1.2e14\n\n3.25,y,2000000,2e7,b,,\n")
    assert (first.N, first.D, first.loss, first.C, first.seed, first.run) == (1e6, 2e7, 3.5, 1.2e14, 1, "a")
    assert (second.N, second.seed, second.run) == (2e6, 0, "b")
    assert math.isnan(second.C)


@pytest.mark.parametrize("header", ["params,tokens,val_loss", "Model Size,training tokens,L", "\ufeffN,D,loss"])
def test_common_names_are_known(tmp_path, header):
    [point] = read(tmp_path, f"{header}\n1e6,2e7,3.5\n")
    assert (point.N, point.D, point.loss) == (1e6, 2e7, 3.5)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", ["is empty"]),
        ("N,D,loss\n", ["no rows"]),
        ("N,D,los\n1,2,3\n", ["line 1", "no column loss", "los"]),
        ("N,D\n1,2\n", ["line 1", "no column loss"]),
        ("N,params,D,loss\n1,1,2,3\n", ["line 1", "N and params", "both mean N"]),
        ("N,D,loss\n1e6,2e7,3.5\n1e6,2e7,three\n", ["line 3", "column loss", "'three'"]),
        ("N,D,loss\n-1,2e7,3.5\n", ["line 2", "column N", "'-1'"]),
        ("N,D,loss\n0,2e7,3.5\n", ["line 2", "column N"]),
        ("N,D,loss\n1e6,2e7,nan\n", ["line 2", "column loss", "'nan'"]),
        ("N,D,loss\n1e6,inf,3.5\n", ["line 2", "column D"]),
        ("N,D,loss\n1e6,2e7\n", ["line 2", "column loss", "''"]),
        ("N,D,loss,C\n1e6,2e7,3.5,many\n", ["line 2", "column C", "'many'"]),
        ("N,D,loss,seed\n1e6,2e7,3.5,1.5\n", ["line 2", "column seed", "'1.5'"]),
        ('N,D,loss\n"1e6,2e7,3.5\n', ["cannot be read as CSV"]),
    ],
)
def test_bad_tables_are_named_by_file_line_and_column(tmp_path, text, said):
    with pytest.raises(UserError) as error:
        read(tmp_path, text)
    message = str(error.value)
    assert "\n" not in message
    assert all(part in message for part in ["ladder.csv", *said]), message


def test_a_file_that_is_no_text_or_not_there(tmp_path):
    with pytest.raises(UserError, match=r"absent\.csv cannot be read"):
        points_from_csv(tmp_path / "absent.csv")
    with pytest.raises(UserError, match="cannot be read as CSV"):
        read(tmp_path, "N,D,loss\n1,2,3é\n", encoding="latin-1")
    with pytest.raises(UserError, match="cannot be read"):
        points_from_csv(tmp_path)
