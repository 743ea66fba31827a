"""Spikes at times, counted in steps; stored as places, made into floats batch by batch.

A place is ``step * units + unit``; one that stands twice is two spikes.

Legend: ``N`` recordings, ``T`` steps, ``B`` batch, ``C`` units.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import torch
from torch import Tensor

from ..core.batch import Batch
from ..core.errors import ConfigError, DataError
from .dataset import plan_indices


def even_places(times: np.ndarray, units: np.ndarray, steps: int, window: float, channels: int) -> Tensor:
    """Every spike in its step: step k holds those from ``k window / steps`` to before ``(k + 1) window / steps``.

    Spikes at or behind the end of the window are left out, no other.

    Args:
        times: in seconds, at least 0, ``[N]``.
        units: 0 to ``channels - 1``, ``[N]``.
        steps: T.
        window: in seconds.
        channels: C.

    Returns:
        Places in order, int32.

    Raises:
        ConfigError: no steps, or no window.

    Example:
        >>> even_places(np.array([0.0, 0.3, 0.3, 1.0]), np.array([1, 0, 0, 1]), steps=2, window=0.5, channels=2)
        tensor([1, 2, 2], dtype=torch.int32)
    """
    _check(steps, window)
    times = times.astype(np.float64)
    kept = times < window
    step = np.minimum(np.floor(times * steps / window), steps - 1).astype(np.int64)  # rounding must lose none either
    return torch.from_numpy(np.sort(step[kept] * channels + units[kept]).astype(np.int32))


def published_places(times: np.ndarray, units: np.ndarray, steps: int, channels: int) -> Tensor:
    """The rule of DH-SNN (Nature Communications 2024), which the temporal-processing benchmark took over.

    The window is 1 s whatever the recording's length. Step k holds the spikes behind ``(k - 1) / steps`` and up to
    ``k / steps`` seconds, so that step 0 holds those at time 0 alone and all behind ``(steps - 1) / steps`` are lost;
    unit u stands at place ``channels - u`` and unit 0 is lost; several spikes of a unit in a step are one. Limits are
    rounded to the precision in which the times are stored, as the program does by comparing them.

    Args and returns: as for :func:`even_places`.
    """
    _check(steps, 1.0)
    limits = (np.arange(steps) * (1 / steps)).astype(times.dtype)
    step = np.searchsorted(limits, times, side="left")
    kept = (step < steps) & (units > 0)
    return torch.from_numpy(np.unique(step[kept] * channels + channels - units[kept]).astype(np.int32))


def _check(steps: int, window: float) -> None:
    if steps < 1 or not window > 0:
        raise ConfigError(f"Spikes are counted in at least one step of a window above 0 s, got {steps} and {window}.")


class SpikeBins:
    """Recordings of spikes with one label each; a :class:`~spikeworks.data.dataset.Dataset`.

    A step of a batch holds the number of spikes of each unit.

    Args:
        places: of every recording, int32, each from 0 to ``steps * channels - 1``.
        targets: class ids ``[N]``, int64.
        steps, channels: T and C.

    Example:
        >>> data = SpikeBins([torch.tensor([0, 3, 3], dtype=torch.int32)], torch.tensor([1]), steps=2, channels=2)
        >>> data.batch(data.plan(1)[0]).x.tolist()
        [[[1.0, 0.0]], [[0.0, 2.0]]]
    """

    def __init__(self, places: Iterable[Tensor], targets: Tensor, steps: int, channels: int) -> None:
        rows = list(places)
        if len(rows) != len(targets):
            raise DataError(f"{len(rows)} recordings came with {len(targets)} labels.")
        self.lengths = torch.tensor([len(row) for row in rows], dtype=torch.int64)
        self.places = torch.cat(rows) if rows else torch.zeros(0, dtype=torch.int32)
        self.starts = self.lengths.cumsum(0) - self.lengths
        self.targets = targets
        self.steps, self.channels = steps, channels

    def __len__(self) -> int:
        return len(self.targets)

    def plan(self, batch_size: int, generator: torch.Generator | None = None) -> list[Tensor]:
        return plan_indices(len(self), batch_size, generator)

    def batch(self, item: Tensor) -> Batch:
        lengths = self.lengths[item]
        row = torch.arange(len(item)).repeat_interleave(lengths)
        within = torch.arange(len(row)) - (lengths.cumsum(0) - lengths)[row]
        places = self.places[self.starts[item][row] + within].long()
        step, unit = places.div(self.channels, rounding_mode="floor"), places % self.channels
        x = torch.zeros(self.steps, len(item), self.channels)
        x.view(-1).index_add_(0, (step * len(item) + row) * self.channels + unit, torch.ones(len(row)))
        return Batch(x=x, target=self.targets[item])
