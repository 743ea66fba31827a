"""Sound files block by block: every format that libsndfile reads, checked before the first sample, and WAV written.

Example: ``with SoundFile(path) as sound: for block in sound.blocks(4096): ...`` gives float32 ``[channels, samples]``.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

from ..core.errors import DataError, RunError
from .audio import declared_frames

_SUBTYPES = ("PCM_U8", "PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE")


class SoundFile:
    """A sound file that is read from its beginning to its end.

    Attributes:
        path: of the file.
        rate: samples a second.
        channels: how many.
        samples: of each channel.
        subtype: how WAV writes such samples: that of the file, or 16-bit PCM where WAV does not know it.

    Raises:
        DataError: no sound file, a damaged header, no samples, or fewer than its header says.
    """

    def __init__(self, path: str | Path) -> None:
        import soundfile

        self.path = Path(path)
        if not self.path.is_file():
            what = "it is a folder" if self.path.is_dir() else "no such file"
            raise DataError(f"Cannot read {self.path}: {what}.")
        try:
            self._file: Any = soundfile.SoundFile(self.path)
            declared = declared_frames(self.path)
        except (soundfile.LibsndfileError, RuntimeError, TypeError) as error:  # TypeError: .raw wants a rate
            raise DataError(
                f"{self.path} is damaged or no sound file: {_reason(error)}", "give a WAV or FLAC file"
            ) from error
        except OSError as error:
            raise DataError(f"Cannot read {self.path}: {error.strerror or error}.") from error
        self.rate, self.channels, self.samples = self._file.samplerate, self._file.channels, self._file.frames
        self.subtype = self._file.subtype if self._file.subtype in _SUBTYPES else "PCM_16"
        if declared is not None and declared > self.samples:
            self._file.close()
            raise DataError(
                f"{self.path} is damaged: its header says {declared} samples, {self.samples} are there.",
                "get the file again",
            )
        if self.samples == 0:
            self._file.close()
            raise DataError(f"{self.path} holds no samples: a sound of zero length.")

    def __enter__(self) -> SoundFile:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._file.close()

    def blocks(self, samples: int) -> Iterator[np.ndarray]:
        """All samples in turn, float32 ``[channels, samples]``, integers scaled to [-1, 1); the last block is shorter.

        Raises:
            DataError: the file ends before its end, or a compressed part is damaged.
        """
        import soundfile

        read = 0
        try:
            while read < self.samples:
                block = self._file.read(min(samples, self.samples - read), dtype="float32", always_2d=True)
                if len(block) == 0:
                    raise DataError(
                        f"{self.path} is damaged: its header says {self.samples} samples, {read} can be read.",
                        "get the file again",
                    )
                read += len(block)
                yield block.T
        except soundfile.LibsndfileError as error:
            raise DataError(
                f"{self.path} is damaged at sample {read}: {_reason(error)}", "get the file again"
            ) from error


class WavWriter:
    """A WAV file that grows; hand it a path of :func:`~spikeworks.core.files.atomic_path`.

    Args:
        path: where to write, whatever its suffix.
        rate: samples a second.
        channels: how many.
        subtype: ``PCM_U8``, ``PCM_16``, ``PCM_24``, ``PCM_32``, ``FLOAT`` or ``DOUBLE``.

    Raises:
        RunError: the file cannot be written or the disk is full.
    """

    def __init__(self, path: str | Path, rate: int, channels: int, subtype: str = "PCM_16") -> None:
        import soundfile

        self.path = Path(path)
        self._error = soundfile.LibsndfileError
        try:
            self._file: Any = soundfile.SoundFile(path, "w", rate, channels, subtype, format="WAV")
        except (self._error, ValueError) as error:
            raise RunError(f"Cannot write a WAV file of {channels} channel(s) at {rate} Hz: {error}.") from error

    def __enter__(self) -> WavWriter:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._file.close()

    def write(self, samples: np.ndarray) -> None:
        """Append float samples ``[channels, samples]``; full scale is 1."""
        try:
            self._file.write(np.ascontiguousarray(samples.T))
        except self._error as error:
            raise RunError(f"Cannot write {self.path}: {error}.", "free space on the disk") from error


def _reason(error: Exception) -> str:
    """The library's own words, without the path that it repeats."""
    return str(getattr(error, "error_string", error)).rstrip(".") + "."
