from __future__ import annotations

import numpy as np
import pytest
from tests.data.raw_dvs_lip import EVENT

from spikeworks.core.errors import DataError
from spikeworks.data.event_arrays import read_event_array


def write(path, rows, dtype=EVENT):
    np.save(path, np.array(rows, dtype))
    return path


def test_fields_and_order_of_time(tmp_path):
    path = write(tmp_path / "0.npy", [(5, 1, 2, 0), (3, 127, 0, 1), (5, 0, 127, 1)])
    events = read_event_array(path, (128, 128))
    found = [field.tolist() for field in (events.time, events.x, events.y, events.polarity)]
    assert found == [[3, 5, 5], [127, 1, 0], [0, 2, 127], [1, 0, 1]]


def test_other_widths_of_the_same_fields(tmp_path):
    other = np.dtype([("x", "<i2"), ("y", "<i2"), ("p", "?"), ("t", "<f8")])
    events = read_event_array(write(tmp_path / "0.npy", [(4, 5, True, 70_000.0)], other), (128, 128))
    assert [int(field) for field in (events.time, events.x, events.y, events.polarity)] == [70_000, 4, 5, 1]


FLOATS = np.dtype([(name, "<f4") for name in "txyp"])


@pytest.mark.parametrize(
    "rows, dtype, message",
    [
        ([(0, 1, 1, 2)], EVENT, r"event 0 has a polarity that is not 0 or 1 \(1 of 1 do\)"),
        (
            [(0, 1, 1, 0), (-4, 1, 1, 1)],
            [("t", "i4"), ("x", "u1"), ("y", "u1"), ("p", "u1")],
            "event 1 has a time before 0",
        ),
        (
            [(0, 1, 1, 0), (1, 128, 1, 1)],
            EVENT,
            r"event 1 lies at x=128, y=1, outside of 128 x 128 pixels \(1 of 2 do\)",
        ),
        ([(0, 1, np.nan, 0)], FLOATS, "y of event 0 is nan"),
        ([], EVENT, "holds no events"),
        (
            [(0, 1, 1)],
            [("t", "i4"), ("x", "u1"), ("y", "u1")],
            r"expected one row of events with the fields t, x, y, p",
        ),
        ([[1.0, 2.0]], None, "expected one row of events with the fields t, x, y, p, got ndarray"),
    ],
    ids=["polarity", "time", "place", "nan", "empty", "fields", "plain array"],
)
def test_events_that_cannot_be(tmp_path, rows, dtype, message):
    with pytest.raises(DataError, match=message):
        read_event_array(write(tmp_path / "0.npy", rows, dtype), (128, 128))


def test_files_that_are_none(tmp_path):
    path = tmp_path / "0.npy"
    with pytest.raises(DataError, match="Cannot read .*No such file"):
        read_event_array(path, (128, 128))
    write(path, [(5, 1, 2, 0)] * 50)
    whole = path.read_bytes()
    for cut in (len(whole) - 10, 40, 3):
        path.write_bytes(whole[:cut])
        with pytest.raises(DataError, match="0.npy is damaged or no NumPy array"):
            read_event_array(path, (128, 128))
    np.save(path, np.array([{}]), allow_pickle=True)
    with pytest.raises(DataError, match="is damaged or no NumPy array"):
        read_event_array(path, (128, 128))
