"""Log-mel front end: what a small keyword spotter hears.

Frames of ``window`` seconds every ``hop`` seconds, Hann window, power spectrum, triangular
filters equally spaced on the mel scale ``m = 2595 log10(1 + f / 700)`` (O'Shaughnessy 1987,
the form of HTK), natural logarithm of the band power plus ``floor``.

Frames start at the first sample and none reaches beyond the last one, so a frame depends only
on the past and a streaming front end gives the same values. A signal shorter than one window is
padded with zeros to one window.

Legend: ``T`` frames, ``C`` bands.
"""

from __future__ import annotations

import dataclasses
import functools
import math

import torch
from torch import Tensor

from ..core.errors import ConfigError, ShapeError


@dataclasses.dataclass(frozen=True, kw_only=True)
class LogMel:
    """Settings of the front end, callable on a signal.

    Attributes:
        rate: samples a second.
        bands: number of mel bands C.
        window: length of a frame in seconds.
        hop: distance of two frames in seconds.
        low: lower edge of the first band in hertz.
        high: upper edge of the last band in hertz; ``None``: half the rate.
        floor: added to the power before the logarithm, so that silence stays finite.

    Example:
        >>> LogMel(rate=8000)(torch.zeros(8000)).shape
        torch.Size([98, 40])
    """

    rate: int = 8000
    bands: int = 40
    window: float = 0.025
    hop: float = 0.010
    low: float = 20.0
    high: float | None = None
    floor: float = 1e-6

    def __post_init__(self) -> None:
        top = self.rate / 2
        if not 0 <= self.low < self.upper <= top:
            raise ConfigError(f"Log-mel bands lie between 0 and {top} Hz, got {self.low} to {self.upper} Hz.")
        if self.bands < 1 or self.window_samples < 2 or self.hop_samples < 1 or self.floor <= 0:
            raise ConfigError(f"Log-mel needs positive bands, window, hop and floor, got {self}.")

    @property
    def upper(self) -> float:
        """Upper edge of the last band in hertz."""
        return self.rate / 2 if self.high is None else self.high

    @property
    def window_samples(self) -> int:
        """Samples in a frame."""
        return round(self.window * self.rate)

    @property
    def hop_samples(self) -> int:
        """Samples between the starts of two frames."""
        return round(self.hop * self.rate)

    def frames(self, samples: int) -> int:
        """Number of frames of a signal."""
        return 1 + max(0, samples - self.window_samples) // self.hop_samples

    def __call__(self, wave: Tensor) -> Tensor:
        """Log band powers ``[T, C]`` of a mono signal ``[samples]``."""
        if wave.dim() != 1 or not wave.is_floating_point() or len(wave) == 0:
            raise ShapeError(f"Log-mel expected a float signal [samples], got {wave.dtype} {list(wave.shape)}.")
        missing = max(0, self.window_samples - len(wave))
        frames = torch.nn.functional.pad(wave, (0, missing)).unfold(0, self.window_samples, self.hop_samples)
        hann, filters = _constants(self)
        power = torch.fft.rfft(frames * hann.to(wave), n=_transform_size(self)).abs().square()
        return torch.log(power @ filters.to(wave) + self.floor)


def _transform_size(mel: LogMel) -> int:
    # At least twice the window: zero padding interpolates the spectrum, so that the narrow low
    # bands (50 Hz wide at 40 bands) still hold some points of it.
    return 1 << (2 * mel.window_samples - 1).bit_length()


@functools.lru_cache(maxsize=16)
def _constants(mel: LogMel) -> tuple[Tensor, Tensor]:
    hann = torch.hann_window(mel.window_samples, dtype=torch.float64)
    return hann, mel_filters(mel)


def mel_filters(mel: LogMel) -> Tensor:
    """Triangular filters ``[spectrum points, C]``, peak 1, in float64.

    Raises:
        ConfigError: so many bands that one of them holds no point of the spectrum.
    """
    hertz = torch.linspace(0, mel.rate / 2, _transform_size(mel) // 2 + 1, dtype=torch.float64)
    return triangles(hertz, mel.bands, mel.low, mel.upper, f"a window of {mel.window} s at {mel.rate} Hz")


def triangles(hertz: Tensor, bands: int, low: float, high: float, what: str = "the spectrum") -> Tensor:
    """Triangular filters of peak 1, equally spaced on the mel scale ``2595 log10(1 + f / 700)``.

    Args:
        hertz: points of the spectrum, ``[P]``.
        bands: C.
        low, high: where the first filter begins and the last one ends, in hertz.
        what: has the spectrum, for the message.

    Returns:
        ``[P, C]``, of the type of ``hertz``.

    Raises:
        ConfigError: so many bands that one of them holds no point.
    """
    first, last = (2595 * math.log10(1 + f / 700) for f in (low, high))
    edges = 700 * (10 ** (torch.linspace(first, last, bands + 2, dtype=torch.float64) / 2595) - 1)
    rise = (hertz[:, None] - edges[:-2]) / (edges[1:-1] - edges[:-2])
    fall = (edges[2:] - hertz[:, None]) / (edges[2:] - edges[1:-1])
    filters = torch.minimum(rise, fall).clamp(min=0)
    if bool((filters.sum(0) == 0).any()):
        raise ConfigError(f"{bands} mel bands are too many for {what}.")
    return filters.to(hertz.dtype)
