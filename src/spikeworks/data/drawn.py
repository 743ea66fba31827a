"""Data sets whose samples are made when a batch is asked for, each from a position and a number that was drawn.

A shuffled plan draws a fresh number for every sample of every epoch, so that an augmented or mixed sample never comes
twice; a plan in natural order has the number 0 everywhere and is always the same. As the numbers stand in the plan, a
resumed epoch makes the same samples.

Legend: ``N`` samples, ``T`` time steps, ``B`` batch, ``C`` channels, ``S`` audio samples, ``L`` labels.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from ..core.batch import Batch
from ..core.errors import DataError
from .dataset import plan_indices

_MOST = 2**62


class DrawnDataset:
    """``make(position, number)`` for every sample, and ``join(samples)`` for a batch.

    Args:
        count: number of samples N.
        make: one sample; the same for the same position and number.
        join: from samples to a batch.

    Example:
        >>> data = DrawnDataset(3, lambda i, draw: (i, draw), list)
        >>> [data.batch(item) for item in data.plan(2)]
        [[(0, 0), (1, 0)], [(2, 0)]]
    """

    def __init__(self, count: int, make: Callable[[int, int], object], join: Callable[[list], Batch]) -> None:
        if count < 1:
            raise DataError("A split without a sample cannot be used.")
        self.count, self.make, self.join = count, make, join

    def __len__(self) -> int:
        return self.count

    def plan(self, batch_size: int, generator: torch.Generator | None = None) -> list[Tensor]:
        """Pairs of position and number, int64 ``[B, 2]`` each."""
        groups = plan_indices(self.count, batch_size, generator)
        numbers = torch.zeros(self.count, dtype=torch.int64)
        if generator is not None:
            numbers = torch.randint(1, _MOST, (self.count,), generator=generator)
        return [torch.stack([group, numbers[group]], 1) for group in groups]

    def batch(self, item: Tensor) -> Batch:
        return self.join([self.make(position, number) for position, number in item.tolist()])

    def fixed(self) -> DrawnDataset:
        """The samples of the natural order, made once and kept; what is drawn no longer counts."""
        kept = [self.make(position, 0) for position in range(self.count)]
        return DrawnDataset(self.count, lambda position, number: kept[position], self.join)


def padded(rows: Sequence[Tensor]) -> tuple[Tensor, Tensor | None]:
    """Sequences ``[T, ...]`` side by side, ``[T, B, ...]``, with zeros behind the shorter ones, and their mask."""
    lengths = torch.tensor([len(row) for row in rows])
    x = torch.nn.utils.rnn.pad_sequence(list(rows))
    if bool((lengths == len(x)).all()):
        return x, None
    return x, torch.arange(len(x)).unsqueeze(1) < lengths


def join_transcribed(samples: Sequence[tuple[Tensor, Tensor]]) -> Batch:
    """Frames ``[T, C]`` with labels ``[L]``; labels are padded with -1 behind."""
    x, mask = padded([frames for frames, _ in samples])
    labels = torch.nn.utils.rnn.pad_sequence([labels for _, labels in samples], batch_first=True, padding_value=-1)
    return Batch(x=x, target=labels, mask=mask)
