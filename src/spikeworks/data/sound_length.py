"""The length of a sound file from its header: thousands of files are checked before the first one is decoded."""

from __future__ import annotations

from pathlib import Path

from ..core.errors import DataError
from .audio import declared_frames


def sound_length(path: Path, rate: int) -> int:
    """Samples of a mono sound file.

    Raises:
        DataError: missing, no sound file, cut off, empty, of another rate, or not mono.
    """
    import soundfile

    if not path.is_file():
        raise DataError(f"Cannot read {path}: no such file.")
    try:
        with soundfile.SoundFile(path) as handle:
            found, tracks, frames = handle.samplerate, handle.channels, handle.frames
    except (soundfile.LibsndfileError, RuntimeError) as error:
        raise DataError(f"{path} is damaged or no sound file: {error}.", "get the file again") from error
    declared = declared_frames(path) or frames
    if frames < declared:
        raise DataError(
            f"{path} is damaged: its header says {declared} samples, {frames} are there.", "get the file again"
        )
    if frames == 0:
        raise DataError(f"{path} holds no samples: a sequence of zero length.")
    if tracks != 1:
        raise DataError(f"{path}: expected one channel, got {tracks}.")
    if found != rate:
        raise DataError(f"{path}: expected a rate of {rate} Hz, got {found} Hz.", f"resample it to {rate} Hz")
    return frames
