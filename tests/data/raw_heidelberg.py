"""Writes tiny files in the raw layout of SHD and SSC."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np

Word = tuple[list[float], list[int], int, int]
"""Times, units, label and speaker."""


def write_spikes(path: Path, words: list[Word], speakers: bool = True) -> None:
    """One file: rows of unequal length, times as 16-bit floats, as published."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with h5py.File(path, "w") as handle:
        spikes = handle.create_group("spikes")
        times = spikes.create_dataset("times", (len(words),), dtype=h5py.vlen_dtype(np.float16))
        units = spikes.create_dataset("units", (len(words),), dtype=h5py.vlen_dtype(np.uint16))
        for i, (when, which, _, _) in enumerate(words):
            times[i], units[i] = np.array(when, np.float16), np.array(which, np.uint16)
        handle["labels"] = np.array([label for _, _, label, _ in words], np.uint16)
        if speakers:
            handle["extra/speaker"] = np.array([who for _, _, _, who in words], np.uint16)


def spoken(label: int, speaker: int, take: int, spikes: int = 60) -> Word:
    """A word: spikes around a unit and a time of its class."""
    draw = np.random.default_rng([label, speaker, take])
    times = np.sort(np.clip(draw.normal(0.1 + 0.03 * label, 0.1, spikes), 0, 1.39)).astype(np.float16)
    units = np.clip(draw.normal(30 + 33 * label, 12, spikes), 0, 699).astype(int)
    return times.tolist(), units.tolist(), label, speaker


def write_shd(root: Path, takes: int = 2) -> None:
    """Ten speakers in the training file, two of them and two others in the test file."""
    known = [who for who in range(12) if who not in (4, 5)]
    train = [spoken(label, who, take) for label in range(20) for who in known for take in range(takes)]
    test = [spoken(label, who, takes + 7) for label in range(20) for who in (0, 1, 4, 5)]
    write_spikes(root / "shd/shd_train.h5", train)
    write_spikes(root / "shd/shd_test.h5", test)


def write_ssc(root: Path, takes: int = 2) -> None:
    """Two recordings of each word for training, one for validation, one to test."""
    for name, first, count in (("train", 0, takes), ("valid", 10, 1), ("test", 20, 1)):
        words = [spoken(label, 0, first + take) for label in range(35) for take in range(count)]
        write_spikes(
            root / f"ssc/ssc_{name}.h5", [(t, [min(u, 699) for u in us], k, 0) for t, us, k, _ in words], False
        )
