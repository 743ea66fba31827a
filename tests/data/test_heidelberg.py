from __future__ import annotations

import h5py
import numpy as np
import pytest
from tests.data.raw_heidelberg import spoken, write_shd, write_spikes

from spikeworks.core.errors import DataError
from spikeworks.data.files import locate
from spikeworks.data.heidelberg import DIGITS, SHD, read_spikes


def test_round_trip(tmp_path):
    words = [spoken(3, 1, 0), ([], [], 19, 11), spoken(0, 0, 1)]
    write_spikes(tmp_path / "a.h5", words)
    found = list(read_spikes(tmp_path / "a.h5", 20, speakers=True))
    for one, (times, units, label, speaker) in zip(found, words, strict=True):
        assert one.times.dtype == np.float16 and one.times.tolist() == times and one.units.tolist() == units
        assert (one.label, one.speaker) == (label, speaker)
    assert DIGITS[13] == "drei" and len(set(DIGITS)) == 20
    write_spikes(tmp_path / "b.h5", words, speakers=False)
    assert [one.speaker for one in read_spikes(tmp_path / "b.h5", 20, speakers=False)] == [None] * 3


def test_files_are_found_and_named(tmp_path):
    write_shd(tmp_path, takes=1)
    assert set(locate(SHD, tmp_path)) == {"shd_train.h5", "shd_test.h5"}
    (tmp_path / "shd/shd_test.h5").unlink()
    with pytest.raises(DataError, match="1 of 2 files are missing: shd_test.h5"):
        locate(SHD, tmp_path)


@pytest.mark.parametrize(
    "word, message",
    [
        (([0.1, 0.2], [1], 0, 0), r"expected a float time and a whole unit for each spike, got float16 \[2\]"),
        (([0.1, float("nan")], [1, 2], 0, 0), r"spike 1 has a time that is not finite \(1 of 2 do\)"),
        (([-0.25, 0.5], [1, 2], 0, 0), r"spike 0 has a time before 0 \(1 of 2 do\): -0.25 s, unit 1"),
        (([0.1], [700], 0, 0), r"spike 0 has a unit that is not one of 0 to 699"),
        (([0.1], [1], 20, 0), r"label 20 is out of range; expected 0 to 19"),
    ],
    ids=["unequal", "nan", "negative", "unit", "label"],
)
def test_damage_names_the_recording_and_counts_the_others(tmp_path, word, message):
    write_spikes(tmp_path / "a.h5", [spoken(0, 0, 0), word, spoken(1, 0, 0), word])
    with pytest.raises(
        DataError, match=f"2 of 4 a.h5 recordings cannot be used, the other 2 are fine.*a.h5, recording 1: {message}"
    ):
        list(read_spikes(tmp_path / "a.h5", 20, speakers=True))


def test_foreign_and_cut_files(tmp_path):
    path = tmp_path / "a.h5"

    def refused(message, speakers=True):
        with pytest.raises(DataError, match=message):
            list(read_spikes(path, 20, speakers))

    refused("damaged or no HDF5 file")
    path.write_text("no HDF5")
    refused("damaged or no HDF5 file")
    write_spikes(path, [spoken(k, 0, 0) for k in range(20)], speakers=False)
    refused("expected the rows .*; extra/speaker are not there")
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    refused("damaged or no HDF5 file", speakers=False)
    write_spikes(path, [])
    refused("holds no recordings")
    with h5py.File(path, "w") as handle:
        handle["spikes/times"], handle["spikes/units"], handle["labels"] = np.zeros(2), np.zeros(2), np.zeros(3)
    refused("expected one entry a recording everywhere", speakers=False)
