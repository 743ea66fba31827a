from __future__ import annotations

import pytest
import torch
from tests.data.raw_wisdm import TICK, lines_of, path_of, write_wisdm

from spikeworks.core.errors import ConfigError, DataError
from spikeworks.data.wisdm import ACTIVITIES, CODES, load_wisdm, read_wisdm

EXAMPLE = "1600,A,90426708196641,7.091625,-0.5916671,8.195502;"


def write(tmp_path, lines):
    path = tmp_path / "data_1600_gyro_watch.txt"
    path.write_text("\n".join(lines) + "\n")
    return path


def test_codes_have_no_n():
    assert len(CODES) == len(ACTIVITIES) == 18 and "N" not in CODES
    assert ACTIVITIES[CODES.index("A")] == "walking" and ACTIVITIES[CODES.index("S")] == "folding clothes"


def test_a_line_is_a_sample(tmp_path):
    recording = read_wisdm(write(tmp_path, [EXAMPLE, "", "1600,S,90426758550645,1,2,-3.5e-1; "]), 1600)
    assert recording.subject == 1600 and recording.labels.tolist() == [0, 17]
    assert recording.rows.tolist() == [[7.091625, -0.5916671, 8.195502], [1.0, 2.0, -0.35]]
    assert recording.rows.dtype == torch.float64


def test_a_written_tree_comes_back(tmp_path):
    write_wisdm(tmp_path, subjects=(1600, 1605), per_activity=7)
    first, second = load_wisdm(tmp_path, subjects=(1605, 1600))
    assert (first.subject, second.subject) == (1600, 1605)
    for recording in (first, second):
        written = [line[:-1].split(",") for line in lines_of(recording.subject, 7)]
        assert recording.rows.tolist() == [[float(x) for x in line[3:]] for line in written]
        assert recording.labels.tolist() == [CODES.index(line[1]) for line in written]


GOOD = lines_of(1600, per_activity=3, codes="AB")


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (EXAMPLE[:-1], "expected a closing semicolon, got ',-0.5916671,8.195502'"),
        (EXAMPLE[:30], "expected a closing semicolon, got "),
        (EXAMPLE.replace(",A,", ",N,"), "activity code 'N' is unknown; expected one of ABCDEFGHIJKLMOPQRS"),
        (EXAMPLE.replace(",A,", ",a,"), "activity code 'a' is unknown"),
        (EXAMPLE.replace("8.195502", "NaN"), "expected a finite number for z, got 'NaN'"),
        (EXAMPLE.replace("7.091625", "inf"), "expected a finite number for x, got 'inf'"),
        (EXAMPLE.replace("-0.5916671", ""), "expected a finite number for y, got ''"),
        (EXAMPLE.replace(",8.195502", ""), r"expected 6 fields \(subject, activity, clock, x, y, z\), got 5"),
        (EXAMPLE.replace("8.195502", "8.195502,1"), "expected 6 fields .*, got 7"),
        (EXAMPLE.replace("1600,", "1601,"), "expected subject 1600, got '1601'"),
        (EXAMPLE.replace("90426708196641", "9.04e13"), "expected the clock as a whole number, got '9.04e13'"),
    ],
)
def test_a_damaged_line_is_named(tmp_path, line, message):
    path = write(tmp_path, [*GOOD[:3], line, *GOOD[3:], line])
    with pytest.raises(DataError, match=message) as caught:
        read_wisdm(path, 1600)
    assert "data_1600_gyro_watch.txt, line 4: " in str(caught.value)
    assert "2 of 8 lines are damaged, 6 are fine." in str(caught.value)


def test_files_that_hold_nothing_or_no_text(tmp_path):
    with pytest.raises(DataError, match="holds no samples"):
        read_wisdm(write(tmp_path, [" ", ""]), 1600)
    path = tmp_path / "binary.txt"
    path.write_bytes(b"1600,\xff\xfe")
    with pytest.raises(DataError, match="no text file: .* at byte 5"):
        read_wisdm(path, 1600)
    with pytest.raises(DataError, match="Cannot read .*absent"):
        read_wisdm(tmp_path / "absent.txt", 1600)


def clocked(step):
    return [f"1600,A,{1_000_000_000 + i * step},1,2,3;" for i in range(5)]


@pytest.mark.parametrize("step", [TICK, TICK // 1000, 50, 95_000_000])
def test_clocks_of_any_unit_pass(tmp_path, step):
    assert len(read_wisdm(write(tmp_path, clocked(step)), 1600).labels) == 5


@pytest.mark.parametrize("step", [TICK // 5, TICK * 3])
def test_another_rate_is_refused(tmp_path, step):
    with pytest.raises(
        DataError, match=r"the clock advances by .* at 20 Hz that would be 5e\+07 in nanoseconds.\n.*resample"
    ):
        read_wisdm(write(tmp_path, clocked(step)), 1600)


def test_missing_subjects_are_named(tmp_path):
    write_wisdm(tmp_path, subjects=(1600, 1602), per_activity=2)
    with pytest.raises(
        DataError, match=r"1 of 3 files are missing: raw/watch/gyro/data_1601_gyro_watch.txt\. Looked in"
    ):
        load_wisdm(tmp_path, subjects=(1600, 1601, 1602))
    with pytest.raises(DataError, match="49 of 51 files are missing: .* and 41 more"):
        load_wisdm(tmp_path)
    for wrong in ((1599,), (1600, 1600)):
        with pytest.raises(ConfigError, match="distinct numbers from 1600 to 1650"):
            load_wisdm(tmp_path, subjects=wrong)
    path_of(tmp_path, 1602).write_text("")
    with pytest.raises(DataError, match="data_1602_gyro_watch.txt holds no samples"):
        load_wisdm(tmp_path, subjects=(1600, 1602))
