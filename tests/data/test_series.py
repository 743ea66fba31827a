from __future__ import annotations

import pytest
import torch

from spikeworks.core.errors import DataError
from spikeworks.data import read_series


def write(tmp_path, text, encoding="utf-8"):
    path = tmp_path / "signals.csv"
    path.write_bytes(text.encode(encoding))
    return path


GOOD = "id,x,label,y\na,1,up,2\na,3,up,4\nb,5,down,6\na,7,up,8\n"


@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_reads_interleaved_cases_of_unequal_length(tmp_path, separator):
    series = read_series(write(tmp_path, GOOD.replace(",", separator)), label="label", case="id")
    assert series.ids == ("a", "b") and series.labels == ("up", "down") and series.channels == ("x", "y")
    assert series.lengths.tolist() == [3, 1]
    assert series.rows.tolist() == [[1, 2], [3, 4], [7, 8], [5, 6]]
    assert series.rows.dtype == torch.float64


def test_byte_order_mark_blank_lines_spaces_and_quotes(tmp_path):
    text = 'id, x ,label\r\n"a, b", 1 ,up\r\n\r\n"a, b",2e-1,up\r\n'
    series = read_series(write(tmp_path, text, "utf-8-sig"), label="label", case="id")
    assert series.ids == ("a, b",) and series.rows.flatten().tolist() == [1, 0.2]


@pytest.mark.parametrize(
    "times",
    [("3", "-1", "2.5"), ("2020-01-03", "2020-01-01 10:00:00.5", "2020-01-01T11:00:00")],
    ids=["number", "date"],
)
def test_time_column_sorts_and_is_no_channel(tmp_path, times):
    rows = "".join(f"a,{t},{i},up\n" for i, t in enumerate(times))
    series = read_series(write(tmp_path, "id,t,x,label\n" + rows), label="label", case="id", time="t")
    assert series.channels == ("x",) and series.rows.flatten().tolist() == [1, 2, 0]


def change(old, new):
    assert old in GOOD
    return GOOD.replace(old, new, 1)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (change("3,up", ",up"), r"line 3, column 'x': expected a finite number, got a missing value \(''\)"),
        (change("3,up", "NaN,up"), r"line 3, column 'x': expected a finite number, got a missing value \('NaN'\)"),
        (change("down,6", "down,inf"), "line 4, column 'y': expected a finite number, got 'inf'"),
        (change("3,up", "three,up"), "line 3, column 'x': expected a finite number, got 'three'"),
        (change("3,up", "3,down"), "case 'a' has two labels, 'up' in line 2 and 'down' in line 3"),
        (change("b,5,down", "b,5,"), "line 4, column 'label': expected a name, got ''"),
        (change("b,5,down", ",5,down"), "line 4, column 'id': expected a name, got ''"),
        (change("b,5,down,6", "b,5,down"), "line 4: expected 4 cells, got 3"),
        (change("label", "lable"), r"no column 'label' for the label. Did you mean 'lable'\? Columns: id, x, lable, y"),
        (change("id,", "name,"), "no column 'id' for the id.*Columns: name, x, label, y"),
        (change("y\n", "x\n"), "column name 'x' stands in the header more than once"),
        ("id,x,label\n", "has a header but no rows: a sequence of zero length"),
        ("", "is empty: expected a header"),
        ("id,label\na,up\n", "has no signal"),
        ('id,x,label\na,"1,up\n', "expected 3 cells, got 2"),
    ],
)
def test_what_is_wrong_is_named(tmp_path, text, message):
    path = write(tmp_path, text)
    with pytest.raises(DataError, match=message) as caught:
        read_series(path, label="label", case="id")
    assert "signals.csv" in str(caught.value)


def test_same_column_twice_and_time_twice(tmp_path):
    path = write(tmp_path, "id,t,x,label\na,1,0,up\na,1,0,up\n")
    with pytest.raises(DataError, match="must be different columns"):
        read_series(path, label="label", case="label")
    with pytest.raises(DataError, match="the case that begins in line 2 has t = 1 more than once"):
        read_series(path, label="label", case="id", time="t")
    with pytest.raises(DataError, match="no column 'time' for the time.*\n.*--time-column"):
        read_series(path, label="label", case="id", time="time")


def test_files_that_cannot_be_read(tmp_path):
    with pytest.raises(DataError, match="Cannot read .*absent"):
        read_series(tmp_path / "absent.csv", label="label", case="id")
    with pytest.raises(DataError, match="is not UTF-8 text"):
        read_series(write(tmp_path, "id,x,label\nä,1,up\n", "latin-1"), label="label", case="id")
