from __future__ import annotations

import pytest

from spikeworks.core.errors import DataError
from spikeworks.data.basic_motions import load_basic_motions
from spikeworks.data.ts import read_ts

HEADER = "#A comment\n@problemName Toy\n@timeStamps false\n@univariate false\n@classLabel true up down\n@data\n"
CASES = "1,2,3:4,5,6:up\n7,8:9,-1e-1:down\n"


def write(tmp_path, text):
    path = tmp_path / "Toy_TRAIN.ts"
    path.write_text(text)
    return path


def test_cases_of_unequal_length(tmp_path):
    cases = read_ts(write(tmp_path, HEADER + CASES + "\n"))
    assert cases.classes == ("up", "down") and cases.targets.tolist() == [0, 1] and cases.lengths.tolist() == [3, 2]
    assert cases.rows.tolist() == [[1, 4], [2, 5], [3, 6], [7, 9], [8, -0.1]]


@pytest.mark.parametrize(
    ("case", "message"),
    [
        ("1,2:3,4:sideways", "class 'sideways' is not in the header: up, down"),
        ("1,2:3,4", "class '3,4' is not in the header: up, down"),
        ("1,2:up", "expected 2 dimensions, got 1"),
        ("1,2:3,4:5,6:up", "expected 2 dimensions, got 3"),
        ("1,2:3:up", "its dimensions differ in length: 1 to 2 values"),
        ("1,?:3,4:up", r"expected a finite number, got '\?'"),
        ("1,2:3,:up", "expected a finite number, got ''"),
        ("1,NaN:3,4:up", "expected a finite number, got 'NaN'"),
    ],
)
def test_a_damaged_case_is_named(tmp_path, case, message):
    with pytest.raises(DataError, match=rf"Toy_TRAIN.ts, line 9: {message}\. 1 of 3 cases are damaged, 2 are fine"):
        read_ts(write(tmp_path, HEADER + CASES + case + "\n"))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "no .ts file: no line says @data"),
        (CASES, "no line says @data"),
        (HEADER, "holds no cases"),
        (
            HEADER.replace("stamps false", "stamps true").replace("Stamps false", "Stamps true") + CASES,
            "carries time stamps",
        ),
        (HEADER.replace("@classLabel true up down", "@classLabel false") + CASES, "has no class labels"),
        (HEADER.replace("@classLabel true up down\n", "") + CASES, "has no class labels"),
    ],
)
def test_files_that_cannot_be_used(tmp_path, text, message):
    with pytest.raises(DataError, match=message):
        read_ts(write(tmp_path, text))
    with pytest.raises(DataError, match="Cannot read"):
        read_ts(tmp_path / "absent.ts")


@pytest.mark.parametrize(
    ("name", "cases", "channels", "lengths", "classes"),
    [
        ("BasicMotions/BasicMotions_TRAIN.ts", 40, 6, (100, 100), 4),
        ("ArrowHead/ArrowHead_TEST.ts", 175, 1, (251, 251), 3),
        ("JapaneseVowels/JapaneseVowels_TRAIN.ts", 270, 12, (7, 26), 9),
    ],
)
def test_real_files(data_set, name, cases, channels, lengths, classes):
    read = read_ts(data_set("ucr_uea") / name)
    assert len(read.targets) == cases and read.rows.shape[1] == channels and len(read.classes) == classes
    assert (int(read.lengths.min()), int(read.lengths.max())) == lengths


def test_another_set_in_its_place_is_refused(tmp_path):
    for part in ("TRAIN", "TEST"):
        path = tmp_path / f"ucr_uea/BasicMotions/BasicMotions_{part}.ts"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(HEADER + CASES)
    with pytest.raises(
        DataError, match=r"expected 40 cases of 100 readings .*; got 2 cases of lengths \[2, 3\], 2 channels"
    ):
        load_basic_motions(tmp_path)
