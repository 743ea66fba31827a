"""SLoClas: sounds from 72 directions, recorded by four microphones at 16 kHz.

X. Qian, B. Sharma, A. El Abridi, H. Li (2021), Zenodo 5211296. The raw set has recordings
``Unsegmented_Sound/Seq…_{NN}.wav``, NN = azimuth / 5 degrees from 00 to 71, and noise
``Unsegmented_Noise/{00,90,180,270}_Deg.wav``. The Neuromorphic Sequential Arena (arXiv 2505.22035) publishes windows of
500 samples with noise as ``Training_raw_noise.mat`` and ``Testing_raw_noise.mat`` (MATLAB v7.3, which is HDF5).

Classes count as published: class k is the direction ``5 (k + 1)`` degrees; 0 degrees is stored as 360, class 71.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ..core.errors import DataError
from .audio import read_audio
from .files import FileSet, WantedFile, locate
from .records import read_records
from .trees import locate_tree

RATE, MICROPHONES, WINDOW = 16_000, 4, 500
DIRECTIONS = 72
"""Classes, 5 degrees apart."""
_SOUNDS = "Unsegmented_Sound/Seq*.wav"
# 0 degrees is 00_Deg.wav in the published program; some copies drop the first zero
_NOISES = tuple(f"Unsegmented_Noise/{angle}_Deg.wav" for angle in ("0*", "90", "180", "270"))

SLOCLAS = FileSet(
    name="sloclas",
    title="SLoClas",
    files=tuple(WantedFile(name) for name in (_SOUNDS, *_NOISES)),
    layout="Unsegmented_Sound/Seq…_{00-71}.wav and Unsegmented_Noise/{00,90,180,270}_Deg.wav, 4 channels at 16 kHz",
    folders=("SLoClas",),
    advice="unpack Zenodo record 5211296 there",
)
SLOCLAS_MIRROR = FileSet(
    name="sloclas",
    title="SLoClas windows of the Neuromorphic Sequential Arena",
    files=(WantedFile("Training_raw_noise.mat"), WantedFile("Testing_raw_noise.mat")),
    layout="Training_raw_noise.mat and Testing_raw_noise.mat",
    folders=("SLoClas", "SSL"),
    advice="get them from the data set liyc5929/neuroseqbench",
)


@dataclasses.dataclass(frozen=True)
class SoundRecording:
    """Sound from one direction: ``wave`` is a float signal ``[samples, 4]``, ``direction`` a class, 0 to 71."""

    name: str
    direction: int
    wave: Tensor


def direction_of(path: Path) -> int:
    """The class of a recording, from the two digits at the end of its name.

    Raises:
        DataError: there are none, or they are no direction.
    """
    found = re.search(r"_(\d\d)$", path.stem)
    number = int(found[1]) if found else DIRECTIONS
    if number >= DIRECTIONS:
        raise DataError(
            f"{path}: expected a name that ends in _00 to _{DIRECTIONS - 1}, the azimuth in steps of 5 degrees."
        )
    return (number - 1) % DIRECTIONS


def find_sloclas(root: str | Path | None) -> tuple[list[Path], list[Path]]:
    """The files of the recordings, by name, and the four of the noises."""
    _, found = locate_tree(SLOCLAS, root)
    return found[_SOUNDS], [found[name][0] for name in _NOISES]


def read_sounds(paths: list[Path]) -> Iterator[SoundRecording]:
    """The recordings, one at a time: together they are larger than most memories.

    Raises:
        DataError: a recording that is damaged, not of four channels at 16 kHz, without a direction, or shorter than a
            window.
    """
    return read_records(paths, _read_sound, f"{SLOCLAS.title} recording")


def read_noises(paths: list[Path]) -> list[Tensor]:
    """The first microphone of each noise recording, ``[samples]``, as the published program uses them."""
    return list(read_records(paths, lambda path: _read(path)[:, 0], f"{SLOCLAS.title} noise"))


def load_mirror(root: str | Path | None, part: str) -> tuple[Tensor, Tensor]:
    """The published windows, float32 ``[N, 500, 4]``, and their classes, int64 ``[N]``.

    Args:
        root: the data directory.
        part: ``"Training"`` or ``"Testing"``.

    Raises:
        DataError: files missing, damaged or of another layout, values that are not finite, or no direction.
    """
    path = locate(SLOCLAS_MIRROR, root)[f"{part}_raw_noise.mat"]
    x, y = _read_mat(path)
    angles = y.reshape(-1)
    wrong = ~np.isin(angles, np.arange(5, 365, 5))
    broken = (~np.isfinite(x)).sum(axis=0) > 0
    for bad, what in ((wrong, "an angle that is not one of 5, 10, … 360"), (broken, "samples that are not finite")):
        if bad.any():
            raise DataError(
                f"{path}: window {int(bad.argmax())} has {what}; {bad.size - int(bad.sum())} of {bad.size} windows are "
                "fine."
            )
    rows = torch.from_numpy(np.ascontiguousarray(x.T, dtype=np.float32))  # a row holds microphone after microphone
    windows = rows.unflatten(1, (MICROPHONES, WINDOW)).transpose(1, 2).contiguous()
    return windows, torch.from_numpy(angles.astype(np.int64) // 5 - 1)


def _read(path: Path) -> Tensor:
    return read_audio(path, RATE, MICROPHONES)


def _read_sound(path: Path) -> SoundRecording:
    direction, wave = direction_of(path), _read(path)
    if len(wave) < WINDOW:
        raise DataError(f"{path} has {len(wave)} samples, fewer than a window of {WINDOW}.")
    return SoundRecording(path.name, direction, wave)


def _read_mat(path: Path) -> tuple[np.ndarray, np.ndarray]:
    import h5py

    try:
        with h5py.File(path, "r") as handle:
            parts = [handle.get(name) for name in ("X", "Y")]
            if not all(isinstance(part, h5py.Dataset) for part in parts):
                raise DataError(f"{path}: expected the variables X and Y, got {', '.join(handle) or 'none'}.")
            x, y = (np.asarray(part) for part in parts)
    except OSError as error:
        raise DataError(f"{path} is damaged or no MATLAB v7.3 file: {error}.", "get the file again") from error
    if x.ndim != 2 or x.shape[0] != MICROPHONES * WINDOW or y.shape != (1, x.shape[1]) or x.shape[1] == 0:
        raise DataError(
            f"{path}: expected X of {MICROPHONES * WINDOW} values a window and one Y, as HDF5 shows them "
            f"[{MICROPHONES * WINDOW}, N] and [1, N]; got {list(x.shape)} and {list(y.shape)}."
        )
    return x, y
