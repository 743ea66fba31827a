"""EEG motor movement and imagery database of PhysioNet, subject S001: EDF+, 64 channels, 160 Hz.

Schalk et al. 2004, Open Data Commons Attribution. A run lasts 125 s and holds 15 trials of about
4.1 s, announced by the annotations T1 and T2, with rest (T0) between them. In runs 4, 8 and 12
a fist was to be imagined, left at T1, right at T2; in runs 6, 10 and 14 both fists at T1, both feet at T2.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Literal

import numpy as np

from ..core.errors import DataError
from .edf import read_edf
from .files import FileSet, WantedFile, locate

RATE = 160.0
CHANNELS = 64
Imagery = Literal["left-right", "fists-feet"]
RUNS: dict[Imagery, tuple[int, int, int]] = {"left-right": (4, 8, 12), "fists-feet": (6, 10, 14)}

EEGMMIDB = FileSet(
    name="eegmmidb",
    title="EEG motor imagery (EEGMMIDB), subject S001",
    files=tuple(WantedFile(f"S001/S001R{run:02d}.edf") for run in (4, 6, 8, 10, 12, 14)),
    layout="S001/S001R{04,06,08,10,12,14}.edf",
    folders=("eegmmidb/1.0.0", "eegmmidb/files", "."),
    advice="PhysioNet, 'EEG Motor Movement/Imagery Dataset' 1.0.0",
)


@dataclasses.dataclass(frozen=True)
class EegRun:
    """One run.

    Attributes:
        name: the file's name.
        signal: ``[L, 64]`` in volts, float64.
        cues: first sample of each trial.
        labels: 0 for T1, 1 for T2.
    """

    name: str
    signal: np.ndarray
    cues: tuple[int, ...]
    labels: tuple[int, ...]


def load_eegmmidb(root: str | Path | None, imagery: Imagery) -> list[EegRun]:
    """The three runs of one kind of imagery, in order.

    Raises:
        ConfigError: MNE is not installed.
        DataError: files missing or damaged, of another rate or with other channels, or without trials.
    """
    files = tuple(WantedFile(f"S001/S001R{run:02d}.edf") for run in RUNS[imagery])
    paths = locate(dataclasses.replace(EEGMMIDB, files=files), root)
    return [read_run(path) for path in paths.values()]


def read_run(path: Path) -> EegRun:
    """One run; see :func:`load_eegmmidb`."""
    recording = read_edf(path, rate=RATE, channels=CHANNELS)
    trials = [(onset, text) for onset, text in recording.events if text in ("T1", "T2")]
    unknown = sorted({text for _, text in recording.events} - {"T0", "T1", "T2"})
    if unknown or {text for _, text in trials} != {"T1", "T2"}:
        got = ", ".join(unknown or sorted({text for _, text in recording.events})) or "none"
        raise DataError(f"{path}: expected the annotations T0, T1 and T2, got {got}.", "get the file again")
    return EegRun(
        name=path.name,
        signal=recording.signal,
        cues=tuple(round(onset * recording.rate) for onset, _ in trials),
        labels=tuple(int(text == "T2") for _, text in trials),
    )
