"""WAV files with linear PCM of 8, 16, 24 or 32 bits.

Example: ``wave, rate = read_wav(folder / "recordings" / "7_theo_0.wav")`` gives ``[samples, channels]``.
"""

from __future__ import annotations

import wave
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ..core.errors import DataError


def read_wav(path: str | Path, rate: int | None = None) -> tuple[Tensor, int]:
    """The samples of a WAV file, scaled to [-1, 1), and its rate in hertz.

    Args:
        path: the file.
        rate: the rate that is expected, in hertz; ``None`` takes any.

    Returns:
        A float32 tensor ``[samples, channels]`` and the rate.

    Raises:
        DataError: no WAV file, not linear PCM, cut off, empty, or of another rate.
    """
    path = Path(path)
    try:
        with wave.open(str(path), "rb") as handle:
            channels, width, found, frames = handle.getparams()[:4]
            raw = handle.readframes(frames)
    except OSError as error:
        raise DataError(f"Cannot read {path}: {error.strerror or error}.") from error
    except EOFError as error:
        raise DataError(f"{path} is damaged: the file ends inside its header.", "get the file again") from error
    except wave.Error as error:
        raise DataError(f"{path} is no WAV file of linear PCM: {error}.", "convert it to 16-bit PCM") from error
    if frames == 0:
        raise DataError(f"{path} holds no samples: a sequence of zero length.")
    if len(raw) != frames * channels * width:
        raise DataError(
            f"{path} is damaged: its header says {frames} samples, {len(raw) // (channels * width)} are there.",
            "get the file again",
        )
    if rate is not None and found != rate:
        raise DataError(f"{path}: expected a rate of {rate} Hz, got {found} Hz.", f"resample it to {rate} Hz")
    return torch.from_numpy(_decode(raw, width, path)).reshape(frames, channels), found


def _decode(raw: bytes, width: int, path: Path) -> np.ndarray:
    if width == 1:  # the one unsigned width
        return (np.frombuffer(raw, dtype=np.uint8).astype(np.float32) - 128) / 128
    if width == 3:  # put each sample into the upper three bytes of an int32
        wide = np.zeros((len(raw) // 3, 4), dtype=np.uint8)
        wide[:, 1:] = np.frombuffer(raw, dtype=np.uint8).reshape(-1, 3)
        return wide.view("<i4").reshape(-1).astype(np.float32) / 2**31
    if width in (2, 4):
        return np.frombuffer(raw, dtype=f"<i{width}").astype(np.float32) / 2 ** (8 * width - 1)
    raise DataError(f"{path}: samples of {8 * width} bits cannot be read; expected 8, 16, 24 or 32 bits.")
