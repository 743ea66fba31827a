"""What the tasks that ask where a sound comes from have in common: classes, layouts, the built data sets, the recipe.

Legend: ``N`` windows, ``T`` samples of a window, ``M`` microphones.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from ..core.errors import ConfigError, DataError
from ..data.check import check_arrays
from ..data.dataset import ArrayDataset, time_first
from ..data.sloclas import DIRECTIONS, MICROPHONES, WINDOW
from ..data.sound_windows import Layout, nsa_layout
from .base import Signature, TaskDefaults

Directions = Literal[8, 36, 72]
"""Numbers of directions that divide the circle into steps of 45, 10 and 5 degrees."""


def check_options(who: str, angles: int, layout: str) -> None:
    """Raise ConfigError unless the options exist."""
    if angles not in (8, 36, 72):
        raise ConfigError(f"{who}: the circle is divided into 8, 36 or 72 directions, got angles={angles}.")
    if layout not in ("time", "nsa"):
        raise ConfigError(f"{who}: layout is 'time' or 'nsa', got {layout!r}.")


def directions_signature(angles: int) -> Signature:
    """Windows of four microphones; class k of K is the direction ``360 (k + 1) / K`` degrees."""
    names = tuple(f"{360 // angles * (k + 1)}°" for k in range(angles))
    return Signature(steps=WINDOW, inputs=MICROPHONES, outputs=angles, classes=names)


def among(directions: Tensor, angles: int) -> tuple[Tensor, Tensor]:
    """Which of the 72 classes belong to the coarser circle, bool ``[N]``, and the classes there of those that do."""
    step = DIRECTIONS // angles
    kept = (directions + 1) % step == 0
    return kept, (directions[kept] + 1) // step - 1


def directions_dataset(who: str, windows: Tensor, targets: Tensor, angles: int, layout: Layout) -> ArrayDataset:
    """Windows ``[N, T, M]`` as a split.

    Raises:
        DataError: a direction without windows, or signals that cannot be used.
    """
    check_arrays(who, windows, targets, classes=angles)
    empty = (torch.bincount(targets, minlength=angles) == 0).nonzero().flatten()
    if len(empty):
        first = 360 // angles * (int(empty[0]) + 1)
        raise DataError(f"{who}: {len(empty)} of {angles} directions have no windows; the first is {first}°.")
    return ArrayDataset(windows, targets, _expand_nsa if layout == "nsa" else time_first)


def directions_defaults() -> TaskDefaults:
    """The arena's recipe for a feed-forward LIF network on this task."""
    return TaskDefaults(
        hidden=(128, 256, 256),
        epochs=100,
        batch_size=64,
        learning_rate=5e-3,
        clip=1.0,
        readout="mean",
        schedule="step",
        step_factor=0.8,
        step_epochs=10,
        notes="arXiv 2505.22035's programs for feed-forward LIF: decay 0.6, threshold 0.5, triangle surrogate of "
        "width 0.6",
    )


def _expand_nsa(stored: Tensor) -> Tensor:
    return time_first(nsa_layout(stored))
