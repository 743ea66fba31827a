"""Mel-frequency cepstral coefficients with energy and differences: 39 numbers a frame, as phone recognisers use them.

A frame gives the coefficients 1 to ``cepstra`` of the orthonormal cosine transform of its log-mel bands (Davis and
Mermelstein 1980), weighted by ``1 + L/2 sin(pi n / L)``, and the logarithm of its energy; then the slopes of these
over five frames, and the slopes of the slopes (HTK Book, section 5.9).

Legend: ``T`` frames, ``C`` numbers a frame.
"""

from __future__ import annotations

import dataclasses

import numpy as np
import torch
from torch import Tensor

from ..core.errors import ConfigError
from .mel import LogMel

_REACH = 2  # frames to each side that a slope looks at


@dataclasses.dataclass(frozen=True, kw_only=True)
class Mfcc:
    """Settings of the front end, callable on a signal.

    Attributes:
        mel: the bands below; its frames are those that come out.
        cepstra: number of coefficients; the mean of the bands, number 0, is left to the energy.
        lifter: L; 0 leaves coefficients as they are.
        floor: added to the energy before the logarithm, so that silence stays finite.

    Example:
        >>> Mfcc()(torch.zeros(16000)).shape
        torch.Size([98, 39])
    """

    mel: LogMel = dataclasses.field(default_factory=lambda: LogMel(rate=16_000, bands=26))
    cepstra: int = 12
    lifter: int = 22
    floor: float = 1e-6

    def __post_init__(self) -> None:
        if not 1 <= self.cepstra < self.mel.bands or self.lifter < 0 or self.floor <= 0:
            raise ConfigError(
                f"Cepstra number 1 to {self.mel.bands - 1} with {self.mel.bands} bands, the lifter is not negative and "
                f"the floor above 0; got {self.cepstra}, {self.lifter} and {self.floor}."
            )

    @property
    def channels(self) -> int:
        """Numbers a frame, C."""
        return 3 * (self.cepstra + 1)

    def __call__(self, wave: Tensor) -> Tensor:
        """Cepstra, energy, slopes and slopes of slopes, float32 ``[T, C]``, of a mono signal ``[samples]``."""
        still = torch.cat([self.coefficients(wave), self.energy(wave)[:, None]], 1)
        first = slopes(still)
        return torch.cat([still, first, slopes(first)], 1).float()

    def coefficients(self, wave: Tensor) -> Tensor:
        """Weighted cepstra, float64 ``[T, cepstra]``."""
        from scipy.fft import dct

        bands = self.mel(wave).double().numpy()
        kept = torch.from_numpy(np.asarray(dct(bands, type=2, norm="ortho", axis=1)))[:, 1 : self.cepstra + 1]
        if self.lifter == 0:
            return kept
        number = torch.arange(1, self.cepstra + 1, dtype=torch.float64)
        return kept * (1 + self.lifter / 2 * torch.sin(np.pi * number / self.lifter))

    def energy(self, wave: Tensor) -> Tensor:
        """Logarithm of the sum of squares of each frame, float64 ``[T]``."""
        size, hop = self.mel.window_samples, self.mel.hop_samples
        padded = torch.nn.functional.pad(wave.double(), (0, max(0, size - len(wave))))
        return torch.log(padded.unfold(0, size, hop).square().sum(1) + self.floor)


def slopes(rows: Tensor) -> Tensor:
    """Slope of the line through each frame and two to each side, ``[T, C]``; the ends are repeated.

    Example:
        >>> slopes(torch.arange(6.0, dtype=torch.float64)[:, None]).flatten().tolist()
        [0.5, 0.8, 1.0, 1.0, 0.8, 0.5]
    """
    padded = torch.cat([rows[:1].expand(_REACH, -1), rows, rows[-1:].expand(_REACH, -1)])
    size = len(rows)
    total = torch.zeros_like(rows)
    for n in range(1, _REACH + 1):
        total += n * (padded[_REACH + n :][:size] - padded[_REACH - n :][:size])
    return total / (2 * sum(n * n for n in range(1, _REACH + 1)))
