"""Short windows of sound of several microphones: cutting, an energy gate, noise at a set level, layouts.

Legend: ``N`` windows, ``S`` samples of a recording, ``W`` of a window, ``M`` microphones.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor

from ..core.errors import DataError

Layout = Literal["time", "nsa"]
"""``time``: a step holds one sample of every microphone. ``nsa``: the windows as the Neuromorphic Sequential Arena
published them, see :func:`nsa_layout`."""


def windows_of(wave: Tensor, samples: int) -> Tensor:
    """Windows ``[N, W, M]`` one behind the other of a recording ``[S, M]``; a rest at the end is dropped."""
    count = len(wave) // samples
    return wave[: count * samples].unflatten(0, (count, samples))


def loud(windows: Tensor, level: Tensor | float) -> Tensor:
    """Whether the mean magnitude of each window ``[N, W, M]`` is above ``level``, bool ``[N]``."""
    return windows.abs().mean((1, 2)) > level


def add_recorded_noise(
    windows: Tensor, noises: Sequence[Tensor], snr: float, generator: torch.Generator, who: str = "The noise"
) -> Tensor:
    """Windows with pieces of recorded noise: a recording for each window, a start for each microphone.

    Since every microphone hears another piece, the noise says nothing about a direction. One gain serves all
    microphones of a window: ``g^2 = (P_S . P_N) / (P_N . P_N) / 10^(snr / 10)`` with the powers P of signal and noise
    at each microphone as vectors, the least-squares fit of one to the other (the division of rows in the published
    MATLAB program).

    Args:
        windows: ``[N, W, M]``.
        noises: recordings ``[S]``, each longer than a window; one is drawn for each window.
        snr: signal to noise in dB.
        generator: draws.
        who: the set, for messages.

    Raises:
        DataError: a noise recording that is shorter than a window, or silent where it was drawn.
    """
    count, samples, microphones = windows.shape
    for i, noise in enumerate(noises):
        if len(noise) <= samples:
            raise DataError(f"{who}: recording {i} has {len(noise)} samples, a window has {samples}.")
    which = torch.randint(len(noises), (count,), generator=generator)
    chance = torch.rand(count, microphones, generator=generator, dtype=torch.float64)
    added = torch.zeros_like(windows)
    for i, noise in enumerate(noises):
        members = (which == i).nonzero().flatten()
        starts = (chance[members] * (len(noise) - samples)).long()
        added[members] = noise.unfold(0, samples, 1)[starts].transpose(1, 2)
    signal_power, noise_power = windows.square().mean(1), added.square().mean(1)
    fit = (noise_power * noise_power).sum(1)
    silent = (fit == 0).nonzero().flatten()
    if len(silent):
        raise DataError(f"{who}: recording {int(which[silent[0]])} is silent where it was drawn.")
    gain = ((signal_power * noise_power).sum(1) / fit / 10 ** (snr / 10)).sqrt()
    return windows + gain[:, None, None] * added


def unit_level(windows: Tensor) -> Tensor:
    """Windows ``[N, W, M]`` of power 1 over all microphones together, so that their levels still differ in between."""
    return windows / windows.square().mean((1, 2), keepdim=True).sqrt().clamp_min(1e-12)


def nsa_layout(windows: Tensor) -> Tensor:
    """Windows ``[N, W, M]`` as the published programs feed them, in the same shape.

    A stored row holds all samples of microphone 0, then all of microphone 1, and so on, and is read as if a step came
    after the other: step s holds samples ``M s`` to ``M s + M - 1`` of one microphone. Times of arrival can then only
    be compared with a memory of W / M steps or more.
    """
    return windows.transpose(1, 2).flatten(1).unflatten(1, windows.shape[1:])
