"""Writes a tiny tree in the raw layout of OpenBMI."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import scipy.io

RATE, CHANNELS = 1000, 62
SPACING = 6  # seconds from cue to cue


def structure(seed: int, trials: int = 12) -> dict[str, Any]:
    """A recording whose rhythm of 10 Hz ceases, for 3 s behind a cue, on one side of the head.

    Class 1 (right hand) quiets the first third of the channels, class 2 (left hand) the last.
    """
    draw = np.random.default_rng(seed)
    length = RATE * SPACING * (trials + 1)
    cues = RATE * (2 + SPACING * np.arange(trials)) + draw.integers(0, 1000, trials)
    classes = draw.permutation(np.arange(trials) % 2 + 1)
    gain = np.ones((length, CHANNELS), dtype=np.float32)
    for cue, which in zip(cues, classes, strict=True):
        side = slice(0, 20) if which == 1 else slice(42, 62)
        gain[cue : cue + 3 * RATE, side] = 0.2
    seconds = np.arange(length) / RATE
    rhythm = np.sin(2 * np.pi * (10 * seconds[:, None] + draw.random(CHANNELS)))
    noise = draw.normal(size=(length, CHANNELS))
    signal = 40.0 + 10.0 * gain * rhythm + 3.0 * noise
    return {
        "x": signal.astype(np.float32),
        "t": cues[None].astype(float) + 1,  # MATLAB counts from 1
        "y_dec": classes[None].astype(np.uint8),
        "fs": np.array([[RATE]]),
        "chan": np.array([[f"ch{i}" for i in range(CHANNELS)]], dtype=object),
    }


def file_name(subject: int, session: int) -> str:
    return f"sess{session:02d}_subj{subject:02d}_EEG_MI.mat"


def seed_of(subject: int, session: int, phase: str) -> int:
    return 100 * subject + 10 * session + (phase == "test")


def write_file(path: Path, **structures: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    scipy.io.savemat(path, structures)


def write_openbmi(root: Path, subjects: tuple[int, ...], trials: int = 12) -> None:
    for subject in subjects:
        for session in (1, 2):
            held = {f"EEG_MI_{p}": structure(seed_of(subject, session, p), trials) for p in ("train", "test")}
            write_file(root / "openbmi" / file_name(subject, session), **held)
