"""Sound files of one known rate and number of channels: WAV of every kind, and FLAC.

:mod:`~spikeworks.data.wav` reads plain PCM without a library. Files of more than two channels usually come in the
extended WAV header, which it does not know; these, floats and FLAC are read here.

Example: ``read_audio(folder / "Seq1_07.wav", rate=16_000, channels=4)`` gives ``[samples, 4]``.
"""

from __future__ import annotations

import struct
from pathlib import Path

import torch
from torch import Tensor

from ..core.errors import DataError

_STREAMED = (0, 0xFFFFFFFF)  # lengths written by programs that did not know them yet


def read_audio(path: str | Path, rate: int, channels: int) -> Tensor:
    """The samples of a sound file, float32 ``[samples, channels]``; integers are scaled to [-1, 1).

    Raises:
        DataError: no sound file, cut off, empty, of another rate or number of channels, or with samples that are not
            finite.
    """
    import soundfile

    path = Path(path)
    if not path.is_file():
        raise DataError(f"Cannot read {path}: no such file.")
    try:
        with soundfile.SoundFile(path) as handle:
            found, tracks, frames = handle.samplerate, handle.channels, handle.frames
            samples = handle.read(dtype="float32", always_2d=True)
    except (soundfile.LibsndfileError, RuntimeError) as error:
        raise DataError(f"{path} is damaged or no sound file: {error}.", "get the file again") from error
    declared = declared_frames(path) or frames
    if len(samples) < declared:
        raise DataError(
            f"{path} is damaged: its header says {declared} samples, {len(samples)} are there.", "get the file again"
        )
    if len(samples) == 0:
        raise DataError(f"{path} holds no samples: a sequence of zero length.")
    if tracks != channels:
        raise DataError(f"{path}: expected {channels} channel(s), got {tracks}.")
    if found != rate:
        raise DataError(f"{path}: expected a rate of {rate} Hz, got {found} Hz.", f"resample it to {rate} Hz")
    wave = torch.from_numpy(samples)
    broken = (~torch.isfinite(wave)).nonzero()
    if len(broken):
        sample, channel = broken[0].tolist()
        raise DataError(
            f"{path}: sample {sample} of channel {channel} is {float(wave[sample, channel])} "
            f"({len(broken)} of {wave.numel()} are not finite)."
        )
    return wave


def declared_frames(path: Path) -> int | None:
    """Samples that a WAV header announces; the library reads what is there and says nothing about the rest."""
    with path.open("rb") as handle:
        if handle.read(4) != b"RIFF":
            return None
        handle.seek(12)
        block = None
        while len(head := handle.read(8)) == 8:
            kind, size = struct.unpack("<4sI", head)
            if kind == b"data":
                return None if block is None or size in _STREAMED else size // block
            body = handle.tell()
            if kind == b"fmt ":
                block = struct.unpack("<12xH", handle.read(14))[0] or None
            handle.seek(body + size + size % 2)  # chunks begin at even places
    return None
