"""Power in mel bands, frames centred on their samples, no logarithm: what the temporal-processing benchmark hears.

:class:`~spikeworks.data.mel.LogMel` is the front end to take for anything new. This one exists to repeat published
figures: a frame of ``points`` samples every ``hop``, centred at 0, hop, 2 hop, … with the signal mirrored at both ends;
Hann window; a transform of exactly ``points``; triangles of peak 1 equally spaced on the mel scale from 0 Hz to half
the rate. A frame sees ``points / 2`` samples of the future.

Legend: ``T`` frames, ``C`` bands.
"""

from __future__ import annotations

import functools

import torch
from torch import Tensor

from ..core.errors import ShapeError
from .mel import triangles


def mel_power(wave: Tensor, *, rate: int, points: int, hop: int, bands: int) -> Tensor:
    """Band powers, float32 ``[1 + samples // hop, C]``.

    Args:
        wave: float signal ``[samples]``, longer than ``points // 2``.
        rate: samples a second.
        points: of a frame and of its transform.
        hop: samples from frame to frame.
        bands: C.

    Raises:
        ShapeError: another shape, or too short to be mirrored.
        ConfigError: so many bands that one of them holds no point of the spectrum.

    Example:
        >>> mel_power(torch.zeros(16000), rate=16000, points=480, hop=160, bands=40).shape
        torch.Size([101, 40])
    """
    if wave.dim() != 1 or not wave.is_floating_point() or len(wave) <= points // 2:
        raise ShapeError(
            f"Mel power expected a float signal of more than {points // 2} samples, got {wave.dtype} "
            f"{list(wave.shape)}."
        )
    half = points // 2
    mirrored = torch.nn.functional.pad(wave.float()[None], (half, half), mode="reflect")[0]
    window, filters = _constants(rate, points, bands)
    power = torch.fft.rfft(mirrored.unfold(0, points, hop) * window).abs().square()
    return power @ filters


@functools.lru_cache(maxsize=16)
def _constants(rate: int, points: int, bands: int) -> tuple[Tensor, Tensor]:
    hertz = torch.linspace(0, rate / 2, points // 2 + 1, dtype=torch.float64)
    return torch.hann_window(points), triangles(hertz, bands, 0.0, rate / 2).float()
