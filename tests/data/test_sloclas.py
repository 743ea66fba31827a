from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
from tests.data.raw_sloclas import plane_wave, write_mirror, write_sloclas, write_wav

from spikeworks.core.errors import DataError
from spikeworks.data.sloclas import direction_of, find_sloclas, load_mirror, read_noises, read_sounds


def test_directions_count_from_5_to_360_degrees():
    assert [direction_of(Path(f"Seq3_x_{n:02d}.wav")) for n in (0, 1, 2, 71)] == [71, 0, 1, 70]
    for name in ("Seq3_72.wav", "Seq3_x.wav", "Seq3_1.wav", "Seq307.wav"):
        with pytest.raises(DataError, match="a name that ends in _00 to _71"):
            direction_of(Path(name))


def test_recordings_and_noises(tmp_path):
    stored = write_sloclas(tmp_path, range(3), seconds=0.1)
    sounds, noises = find_sloclas(tmp_path)
    for recording in read_sounds(sounds):
        assert recording.direction == direction_of(Path(recording.name))
        expected = torch.from_numpy(stored[recording.name].astype(np.float32) / 2**15)
        assert torch.equal(recording.wave, expected)
    assert [noise.shape for noise in read_noises(noises)] == [(64_000,)] * 4


@pytest.mark.parametrize(
    "damage, message",
    [
        (lambda path: write_wav(path, plane_wave(0, 0.1, 0, 3)), r"expected 4 channel\(s\), got 3"),
        (lambda path: write_wav(path, plane_wave(0, 0.1, 0), 44_100), "rate of 16000 Hz, got 44100"),
        (lambda path: path.write_bytes(path.read_bytes()[:-500]), "its header says 1600 samples, 1537 are there"),
        (lambda path: write_wav(path, plane_wave(0, 0.02, 0)), "has 320 samples, fewer than a window of 500"),
        (lambda path: path.rename(path.with_name("Seq1_azimuth_99.wav")), "ends in _00 to _71"),
    ],
    ids=["channels", "rate", "cut off", "short", "no direction"],
)
def test_damage_names_the_file_and_counts_the_others(tmp_path, damage, message):
    write_sloclas(tmp_path, range(4), seconds=0.1)
    damage(tmp_path / "sloclas/Unsegmented_Sound/Seq1_azimuth_02.wav")
    with pytest.raises(DataError, match=f"1 of 4 SLoClas recordings cannot be used, the other 3 are fine.*{message}"):
        list(read_sounds(find_sloclas(tmp_path)[0]))


def test_missing_noise_is_named(tmp_path):
    write_sloclas(tmp_path, range(1), seconds=0.1)
    (tmp_path / "sloclas/Unsegmented_Noise/180_Deg.wav").unlink()
    with pytest.raises(DataError, match="files are missing: Unsegmented_Noise/180_Deg.wav. Looked in"):
        find_sloclas(tmp_path)


def test_mirror_round_trip(tmp_path):
    windows = np.random.default_rng(0).normal(size=(6, 500, 4)).astype(np.float32)
    write_mirror(tmp_path, windows, np.array([5, 360, 10, 180, 355, 5]), "Training")
    write_mirror(tmp_path, windows[:2], np.array([5, 10]), "Testing")
    found, directions = load_mirror(tmp_path, "Training")
    assert torch.equal(found, torch.from_numpy(windows)) and found.dtype == torch.float32
    assert directions.tolist() == [0, 71, 1, 35, 70, 0]


def test_mirror_damage(tmp_path):
    windows, angles = np.zeros((6, 500, 4), np.float32), np.array([5.0, 360, 10, 180, 355, 5])
    write_mirror(tmp_path, windows, angles, "Testing")

    def refused(message):
        with pytest.raises(DataError, match=message):
            load_mirror(tmp_path, "Training")

    angles[3] = 7
    write_mirror(tmp_path, windows, angles, "Training")
    refused(r"window 3 has an angle that is not one of 5, 10, … 360; 5 of 6 windows are fine")
    angles[3], windows[4, 5, 1], windows[5, 5, 1] = 5, np.nan, np.inf
    path = write_mirror(tmp_path, windows, angles, "Training")
    refused("window 4 has samples that are not finite; 4 of 6 windows are fine")
    path.write_bytes(path.read_bytes()[:3000])
    refused("damaged or no MATLAB v7.3 file")
    with h5py.File(path, "w") as handle:
        handle["X"], handle["Y"] = np.zeros((6, 2000)), np.zeros((6, 1))
    refused(r"expected X of 2000 values .* got \[6, 2000\] and \[6, 1\]")
    with h5py.File(path, "w") as handle:
        handle["Z"] = np.zeros(3)
    refused("expected the variables X and Y, got Z")
