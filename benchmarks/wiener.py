"""Classical speech enhancement: log-spectral amplitude estimation with noise tracked by minimum statistics, causal.

The noise of a frequency is the least of its smoothed power over the last second, times a factor that makes it right for
white noise; the ratio of speech to noise follows the decision-directed rule. No training.

Sources: Ephraim and Malah 1984 and 1985 (rule and estimator), Martin 2001 (minimum statistics, here with a constant
smoothing in place of the optimal one).
"""

from __future__ import annotations

import functools

import torch
from scipy.special import exp1
from torch import Tensor

from spikeworks.data.stft import Stft

SMOOTH = 0.85
"""Of the power from frame to frame."""
WINDOW = 1.0
"""Seconds in which the least is sought."""
BEFORE = 0.98
"""Share of the frame before in the ratio of speech to noise."""
LEAST = 10 ** (-25 / 10)
"""Smallest ratio of speech to noise."""


def least_power(power: Tensor, frames: int) -> Tensor:
    """The least smoothed power of the last ``frames``, ``[T, ...]``."""
    smoothed = [power[0]]
    for now in power[1:]:
        smoothed.append(SMOOTH * smoothed[-1] + (1 - SMOOTH) * now)
    kept = torch.stack(smoothed)
    filled = torch.cat([kept[:1].expand(frames - 1, *kept.shape[1:]), kept])
    return filled.unfold(0, frames, 1).amin(-1)


@functools.cache
def bias(stft: Stft, frames: int) -> float:
    """By how much the least power of white noise lies below its mean."""
    noise = torch.randn(4, 60 * frames * stft.hop, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    power = stft(noise).abs().square()[frames:, :, 1:-1]
    return float(power.mean() / least_power(power, frames)[frames:].mean())


def enhance(waves: Tensor, stft: Stft, rate: int) -> Tensor:
    """Waves ``[B, S]`` with less noise."""
    spectrum = stft(waves.double())
    power = spectrum.abs().square()
    frames = max(2, round(WINDOW * rate / stft.hop))
    noise = bias(stft, frames) * least_power(power, frames) + 1e-12
    clean = torch.zeros_like(power[0])
    gains = []
    for now, floor in zip(power, noise, strict=True):
        after = (now / floor).clamp(max=1e3)
        prior = (BEFORE * clean / floor + (1 - BEFORE) * (after - 1).clamp(min=0)).clamp(min=LEAST)
        share = prior / (1 + prior)
        gain = (share * torch.exp(0.5 * torch.from_numpy(exp1((share * after).clamp(min=1e-8).numpy())))).clamp(max=1.0)
        gains.append(gain)
        clean = gain.square() * now
    return stft.inverse(spectrum * torch.stack(gains)).to(waves)
