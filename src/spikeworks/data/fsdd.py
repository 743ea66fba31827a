"""Free Spoken Digit Dataset: ten English digits, six speakers, fifty takes each, WAV at 8 kHz.

Z. Jackson and contributors, CC BY-SA 4.0. Files are called ``{digit}_{speaker}_{take}.wav``.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path

from torch import Tensor

from ..core.errors import DataError
from .files import FileSet, Source, WantedFile, locate
from .wav import read_wav

SPEAKERS = ("george", "jackson", "lucas", "nicolas", "theo", "yweweler")
TAKES = 50
RATE = 8000

FSDD = FileSet(
    name="fsdd",
    title="Free Spoken Digit Dataset",
    files=tuple(
        WantedFile(f"recordings/{digit}_{speaker}_{take}.wav")
        for digit in range(10)
        for speaker in SPEAKERS
        for take in range(TAKES)
    ),
    layout="recordings/{0-9}_{speaker}_{0-49}.wav, 3000 files",
    folders=("free-spoken-digit-dataset", "."),
    digest="1971de6d210a657fc0b609a5bb473095188386d232f7540824707d103ddfcd5d",
    source=Source(
        (
            "https://github.com/Jakobovski/free-spoken-digit-dataset/archive/refs/heads/master.zip",
            "https://github.com/Jakobovski/free-spoken-digit-dataset/archive/HEAD.zip",
        ),
        archive=True,
    ),
)


@dataclasses.dataclass(frozen=True)
class Recording:
    """One spoken digit: ``wave`` is a float signal ``[samples]`` at 8 kHz."""

    digit: int
    speaker: str
    take: int
    wave: Tensor


def load_fsdd(root: str | Path | None) -> list[Recording]:
    """All 3000 recordings, by digit, speaker and take.

    Raises:
        DataError: files missing, damaged, not mono, or not at 8 kHz.
    """
    recordings = []
    for path in locate(FSDD, root).values():
        digit, speaker, take = path.stem.split("_")
        wave, _ = read_wav(path, rate=RATE)
        if wave.shape[1] != 1:
            raise DataError(f"{path}: expected one channel, got {wave.shape[1]}.")
        recordings.append(Recording(int(digit), speaker, int(take), wave[:, 0]))
    return recordings
