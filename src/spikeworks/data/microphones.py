"""A circle of microphones in a simulated sound field: plane waves, and noise that is diffuse or incoherent.

Positions: microphone m of M stands at the azimuth ``2 pi m / M`` on a circle of radius r. A plane wave from the
azimuth phi reaches it ``tau_m = -r cos(phi - 2 pi m / M) / c`` seconds after it reaches the centre; delays are exact to
fractions of a sample, as phase shifts of the spectrum. The coherence of diffuse noise at distance d is
``sin(k d) / (k d)``, ``k = 2 pi f / c`` (Cook et al. 1955).

Legend: ``N`` signals, ``S`` samples, ``M`` microphones, ``F`` frequencies.
"""

from __future__ import annotations

import dataclasses
import math

import torch
from torch import Tensor

from ..core.errors import ConfigError


@dataclasses.dataclass(frozen=True)
class CircularArray:
    """M microphones on a circle.

    Attributes:
        microphones: M, at least 1.
        radius: of the circle, in metres.
        rate: samples a second.
        speed: of sound, in metres a second.

    Example:
        >>> late = 16_000 * CircularArray().delays(torch.tensor(0.0))
        >>> round(float(late[2] - late[0]), 2)  # samples between the nearest and the farthest microphone
        2.99
    """

    microphones: int = 4
    radius: float = 0.032
    rate: int = 16_000
    speed: float = 343.0

    def __post_init__(self) -> None:
        if self.microphones < 1 or not (self.radius > 0 and self.rate > 0 and self.speed > 0):
            raise ConfigError(f"An array has microphones, and a radius, rate and speed above 0, got {self}.")

    @property
    def margin(self) -> int:
        """Samples at both ends of a rendered signal that are spoilt, because it is taken as periodic.

        The longest delay, and room for the ripple of a fractional delay to die out.
        """
        return math.ceil(self.radius / self.speed * self.rate) + 62

    def positions(self) -> Tensor:
        """Azimuths of the microphones in radians, float64 ``[M]``."""
        return torch.arange(self.microphones, dtype=torch.float64) * (2 * math.pi / self.microphones)

    def delays(self, azimuth: Tensor) -> Tensor:
        """Seconds by which a plane wave from ``azimuth`` (radians, any shape) is late, float64 ``[..., M]``."""
        return -self.radius / self.speed * torch.cos(azimuth.double()[..., None] - self.positions())

    def render(self, source: Tensor, azimuth: Tensor) -> Tensor:
        """What the microphones hear of plane waves.

        Args:
            source: signals at the centre of the array, ``[N, S]``. They are taken as periodic: give :attr:`margin`
                samples more at both ends than are used.
            azimuth: of each, in radians, ``[N]``.

        Returns:
            ``[N, S, M]``, in the dtype of ``source``.
        """
        spectrum = torch.fft.rfft(source, dim=-1)
        turn = -2 * math.pi * self._frequencies(source.shape[-1])[:, None] * self.delays(azimuth)[:, None, :]
        phase = torch.polar(torch.ones_like(turn), turn).to(spectrum.dtype)
        return torch.fft.irfft(spectrum[..., None] * phase, n=source.shape[-1], dim=1)

    def coherence(self, samples: int) -> Tensor:
        """Coherence of diffuse noise between microphones, float64 ``[F, M, M]``, for signals of ``samples``."""
        at = self.positions()
        distance = 2 * self.radius * torch.sin((at[:, None] - at) / 2).abs()
        return torch.sinc(2 * self._frequencies(samples)[:, None, None] * distance / self.speed)

    def diffuse_noise(self, count: int, samples: int, generator: torch.Generator) -> Tensor:
        """White noise from all directions of space with power 1, float32 ``[count, samples, M]``."""
        coherence = self.coherence(samples)
        # at 0 Hz all microphones hear the same, and the matrix is singular
        mixing = torch.linalg.cholesky(coherence + 1e-6 * torch.eye(self.microphones, dtype=torch.float64))
        drawn = torch.randn(count, len(mixing), self.microphones, 1, dtype=torch.complex64, generator=generator)
        spectrum = (mixing.to(torch.complex64) @ drawn).squeeze(-1)
        return torch.fft.irfft(spectrum, n=samples, dim=1, norm="ortho")

    def incoherent_noise(self, count: int, samples: int, generator: torch.Generator) -> Tensor:
        """White noise of each microphone on its own with power 1, float32 ``[count, samples, M]``."""
        return torch.randn(count, samples, self.microphones, generator=generator)

    def _frequencies(self, samples: int) -> Tensor:
        return torch.fft.rfftfreq(samples, d=1 / self.rate, dtype=torch.float64)
