"""Data sets in memory: stored compactly, made into a batch of floats when asked for.

Legend: ``N`` samples, ``T`` time steps, ``B`` batch, ``C`` channels.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

import torch
from torch import Tensor

from ..core.batch import Batch
from ..core.errors import ConfigError, DataError


class Dataset(Protocol):
    """One split of a task: first the plan of an epoch, then batch after batch.

    Items of a plan are opaque to the caller. Planning is apart from loading so that a resumed
    epoch can skip what it has done without touching the data.
    """

    def __len__(self) -> int:
        """Number of samples."""
        ...

    def plan(self, batch_size: int, generator: torch.Generator | None = None) -> Sequence[Any]:
        """The batches of one epoch, shuffled by ``generator``, else in natural order."""
        ...

    def batch(self, item: Any) -> Batch:
        """The batch of one item of a plan."""
        ...


def plan_indices(count: int, batch_size: int, generator: torch.Generator | None) -> list[Tensor]:
    """Positions 0 to ``count - 1`` in groups of ``batch_size``; the last may be smaller."""
    if batch_size < 1:
        raise ConfigError(f"A batch holds at least one sample, got batch_size={batch_size}.")
    order = torch.arange(count) if generator is None else torch.randperm(count, generator=generator)
    return list(order.split(batch_size))


def time_first(stored: Tensor) -> Tensor:
    """Floats ``[T, B, ...]`` of stored samples ``[B, T, ...]``."""
    return stored.transpose(0, 1).contiguous().float()


class ArrayDataset:
    """Samples of equal length.

    Args:
        inputs: stored samples ``[N, ...]`` of any dtype, for instance uint8.
        targets: class ids ``[N]``, int64.
        expand: from stored samples ``[B, ...]`` to floats ``[T, B, C]``.

    Example:
        >>> data = ArrayDataset(torch.zeros(5, 7, 2, dtype=torch.uint8), torch.zeros(5, dtype=torch.int64))
        >>> [data.batch(item).x.shape for item in data.plan(3)]
        [torch.Size([7, 3, 2]), torch.Size([7, 2, 2])]
    """

    def __init__(self, inputs: Tensor, targets: Tensor, expand: Callable[[Tensor], Tensor] = time_first) -> None:
        if len(inputs) != len(targets):
            raise DataError(f"{len(inputs)} samples came with {len(targets)} labels.")
        self.inputs = inputs
        self.targets = targets
        self.expand = expand

    def __len__(self) -> int:
        return len(self.targets)

    def plan(self, batch_size: int, generator: torch.Generator | None = None) -> list[Tensor]:
        return plan_indices(len(self), batch_size, generator)

    def batch(self, item: Tensor) -> Batch:
        return Batch(x=self.expand(self.inputs[item]), target=self.targets[item])


class RaggedDataset:
    """Samples of unequal length: the steps of all samples stand one after another.

    A batch is padded with zeros behind its shorter samples and carries a mask; where all of
    its samples are equally long there is nothing to mask and ``mask`` is ``None``.

    Args:
        rows: all steps ``[sum of lengths, C]``.
        lengths: steps of each sample, int64 ``[N]``, each at least 1.
        targets: class ids ``[N]``, int64.
        steps: pad every batch to this length, which no sample may exceed; ``None``: to the
            longest of its samples.

    Example:
        >>> data = RaggedDataset(torch.ones(5, 1), torch.tensor([2, 3]), torch.tensor([0, 1]))
        >>> data.batch(torch.tensor([0, 1])).mask.t().tolist()
        [[True, True, False], [True, True, True]]
    """

    def __init__(self, rows: Tensor, lengths: Tensor, targets: Tensor, steps: int | None = None) -> None:
        if len(lengths) != len(targets) or int(lengths.sum()) != len(rows):
            raise DataError(
                f"{len(targets)} labels, {len(lengths)} lengths of {int(lengths.sum())} steps in all and {len(rows)} "
                "stored steps do not fit together."
            )
        if len(lengths) and int(lengths.min()) < 1:
            raise DataError(f"Sample {int(lengths.argmin())} is a sequence of zero length.")
        if steps is not None and len(lengths) and int(lengths.max()) > steps:
            raise DataError(f"Sample {int(lengths.argmax())} has {int(lengths.max())} steps, more than {steps}.")
        self.rows = rows
        self.lengths = lengths
        self.targets = targets
        self.steps = steps
        self.starts = lengths.cumsum(0) - lengths

    def __len__(self) -> int:
        return len(self.targets)

    def plan(self, batch_size: int, generator: torch.Generator | None = None) -> list[Tensor]:
        return plan_indices(len(self), batch_size, generator)

    def batch(self, item: Tensor) -> Batch:
        lengths = self.lengths[item]
        steps = torch.arange(self.steps or int(lengths.max()))[:, None]
        mask = steps < lengths
        x = self.rows[self.starts[item] + torch.minimum(steps, lengths - 1)].float()
        if bool(mask.all()):
            return Batch(x=x, target=self.targets[item])
        return Batch(x=x * mask[..., None], target=self.targets[item], mask=mask)
