"""Speech and noise mixed at a set signal-to-noise ratio and level, by the rule of the N-DNS challenge.

Both are brought to peak 1, then to an active level of -25 dBFS, the noise by a further gain for the ratio; their sum
is set to a level in dBFS, and where it would reach 0.99 all three are made smaller together.

The challenge's program computes the gain of the noise from levels taken before the two were made equal, so that its
true ratio is ``snr + 20 log10(rms_noise / rms_clean)`` and not the one in the file name. ``mode="dns"`` does the same;
``mode="true"`` gives the ratio that was asked for.
"""

from __future__ import annotations

import dataclasses
from typing import Literal

import torch
from torch import Tensor

from ..core.errors import DataError

Mode = Literal["true", "dns"]
PIECE = 0.1
"""Seconds of the pieces of which the active ones count."""
QUIET = -50.0
"""Level in dB, relative to the peak, below which a piece is not active."""
CEILING = 0.99
_LEVEL = -25.0


@dataclasses.dataclass(frozen=True)
class Mixture:
    """Three waves ``[samples]`` with ``noisy = clean + noise``."""

    clean: Tensor
    noise: Tensor
    noisy: Tensor


def active_rms(wave: Tensor, rate: int) -> float:
    """Root mean square over those pieces of 100 ms that are within 50 dB of the peak; 0 for silence.

    Args:
        wave: ``[samples]``.
        rate: samples a second.
    """
    peak = float(wave.abs().max()) if len(wave) else 0.0
    if peak == 0:
        return 0.0
    size = max(1, round(PIECE * rate))
    energy = wave.double().square()
    whole = len(wave) // size * size
    power = energy[:whole].reshape(-1, size).mean(1)
    if whole < len(wave):
        power = torch.cat([power, energy[whole:].mean().reshape(1)])
    active = power > (peak * 10 ** (QUIET / 20)) ** 2
    return float(power[active].mean().sqrt()) if bool(active.any()) else 0.0


def active_share(wave: Tensor, rate: int, piece: float = 0.01) -> float:
    """Share of pieces of 10 ms that are within 50 dB of the peak."""
    size = max(1, round(piece * rate))
    power = wave[: len(wave) // size * size].reshape(-1, size).square().mean(1)
    return float((power > (float(wave.abs().max()) * 10 ** (QUIET / 20)) ** 2).float().mean()) if len(power) else 0.0


def mix(clean: Tensor, noise: Tensor, *, snr: float, level: float, rate: int, mode: Mode = "true") -> Mixture:
    """Noise added to speech.

    Args:
        clean, noise: ``[samples]``, equally long.
        snr: ratio of their active levels in dB.
        level: of the sum in dBFS.
        rate: samples a second.
        mode: ``true``, or ``dns`` for the ratio that the challenge's program really makes.

    Raises:
        DataError: unequal lengths, or one of them is silent.
    """
    if clean.shape != noise.shape or clean.dim() != 1:
        raise DataError(f"Speech {list(clean.shape)} and noise {list(noise.shape)} are not two waves of one length.")
    for wave, what in ((clean, "speech"), (noise, "noise")):
        if not bool(wave.any()):
            raise DataError(f"A silent {what} has no level that a ratio could be set from.")
    clean, noise = (wave.double() / wave.abs().max() for wave in (clean, noise))
    loud, hiss = active_rms(clean, rate), active_rms(noise, rate)
    wanted = 10 ** (_LEVEL / 20)
    clean, noise = clean * (wanted / loud), noise * (wanted / hiss)
    gain = 10 ** (-snr / 20) * (loud / hiss if mode == "dns" else 1.0)
    noise = noise * gain
    noisy = clean + noise
    scale = 10 ** (level / 20) / float(noisy.square().mean().sqrt())
    peak = scale * float(noisy.abs().max())
    if peak >= CEILING:
        scale *= CEILING / peak
    return Mixture((scale * clean).float(), (scale * noise).float(), (scale * noisy).float())
