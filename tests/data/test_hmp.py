from __future__ import annotations

import shutil

import pytest
import torch

from spikeworks.core.errors import DataError
from spikeworks.data.hmp import ACTIVITIES, HMP, RECORDINGS, load_hmp, read_hmp

NAME = "Accelerometer-2011-05-30-10-29-28-walk-m11.txt"


def write(tmp_path, text, name=NAME):
    path = tmp_path / name
    path.write_text(text)
    return path


def test_a_line_is_a_reading_in_g(tmp_path):
    recording = read_hmp(write(tmp_path, "0 63 21\n\n42 0 63"))
    assert recording.volunteer == "m11" and ACTIVITIES[recording.activity] == "walk"
    assert torch.allclose(recording.rows, torch.tensor([[-1.5, 1.5, -0.5], [0.5, -1.5, 1.5]], dtype=torch.float64))


@pytest.mark.parametrize("line", ["1 2", "1 2 3 4", "1 2 64", "1 -2 3", "1 2.5 3", "1 nan 3", "x"])
def test_a_damaged_line_is_named(tmp_path, line):
    path = write(tmp_path, f"1 2 3\n4 5 6\n{line}\n7 8 9\n{line}\n")
    with pytest.raises(
        DataError, match=rf"m11.txt, line 3: expected three whole numbers from 0 to 63, got '{line}'\. 2 of 5"
    ):
        read_hmp(path)


def test_files_that_cannot_be_used(tmp_path):
    for name in ("walk-m1.txt", NAME.replace("walk", "fly"), NAME.replace("-m11", ""), NAME.replace("txt", "csv")):
        with pytest.raises(DataError, match=r"expected a name such as Accelerometer-.*use_telephone, walk\."):
            read_hmp(write(tmp_path, "1 2 3\n", name))
    with pytest.raises(DataError, match="holds no readings"):
        read_hmp(write(tmp_path, "\n"))
    with pytest.raises(DataError, match="Cannot read"):
        read_hmp(tmp_path / NAME.replace("m11", "f1"))
    path = tmp_path / NAME
    path.write_bytes(b"1 2 \xff")
    with pytest.raises(DataError, match="no text file"):
        read_hmp(path)


def test_an_incomplete_set_is_refused(tmp_path):
    with pytest.raises(DataError, match="14 of 14 files are missing"):
        load_hmp(tmp_path)
    for file in HMP.files:
        path = tmp_path / "HMP_Dataset" / file.name
        path.parent.mkdir(parents=True)
        path.write_text("1 2 3\n")
    with pytest.raises(DataError, match=r"Brush_teeth holds 1 recordings, not 12"):
        load_hmp(tmp_path)


def test_the_real_recordings(data_set, data_root):
    data_set("hmp_wrist_accel")
    recordings = load_hmp(data_root)
    assert len(recordings) == sum(RECORDINGS.values()) == 839
    assert len({one.volunteer for one in recordings}) == 16
    lengths = [len(one.rows) for one in recordings]
    assert (min(lengths), max(lengths)) == (125, 9318)
    assert min(float(one.rows.min()) for one in recordings) >= -1.5


def test_a_changed_recording_is_noticed(data_set, tmp_path):
    shutil.copytree(data_set("hmp_wrist_accel"), tmp_path / "hmp_wrist_accel")
    path = tmp_path / "hmp_wrist_accel" / HMP.files[0].name
    path.write_text(path.read_text() + "1 2 3\n")
    with pytest.raises(DataError, match="the 839 files are all there, but their contents differ"):
        load_hmp(tmp_path)
