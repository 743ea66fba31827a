"""Sequences with a class at every step.

Legend: ``N`` samples, ``T`` time steps, ``B`` batch, ``C`` channels, ``K`` classes.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ..core.batch import UNLABELLED, Batch
from ..core.errors import DataError
from .dataset import plan_indices, time_first


class StepLabels:
    """One split of a task with a label at every step.

    Args:
        inputs: ``[N, T, C]`` of any dtype, made floats batch by batch.
        targets: class ids ``[N, T]`` of an integer dtype, -100 where a step has none.
        lengths: steps of each sample, int64 ``[N]``, where they differ; what stands behind is padding.
        who: the data set, for the message.
        classes: K.

    Raises:
        DataError: no samples, shapes that do not belong together, values that are not finite, a label out of range, or
            behind a sample's end, or no label at all.

    Example:
        >>> data = StepLabels(torch.zeros(3, 5, 2), torch.zeros(3, 5, dtype=torch.int64), classes=2)
        >>> batch = data.batch(data.plan(2)[0])
        >>> batch.x.shape, batch.target.shape, batch.count
        (torch.Size([5, 2, 2]), torch.Size([2, 5]), 10)
    """

    def __init__(
        self, inputs: Tensor, targets: Tensor, lengths: Tensor | None = None, *, classes: int, who: str = "the data"
    ) -> None:
        _check(who, inputs, targets, lengths, classes)
        self.inputs = inputs
        self.targets = targets
        self.lengths = lengths

    def __len__(self) -> int:
        return len(self.targets)

    def plan(self, batch_size: int, generator: torch.Generator | None = None) -> list[Tensor]:
        return plan_indices(len(self), batch_size, generator)

    def batch(self, item: Tensor) -> Batch:
        mask = None
        if self.lengths is not None:
            mask = torch.arange(self.targets.shape[1])[:, None] < self.lengths[item]
            mask = None if bool(mask.all()) else mask
        return Batch(x=time_first(self.inputs[item]), target=self.targets[item].long(), mask=mask, labelled=True)


def _check(who: str, inputs: Tensor, targets: Tensor, lengths: Tensor | None, classes: int) -> None:
    if not len(targets):
        raise DataError(f"{who} holds no samples.")
    if inputs.dim() != 3 or inputs.shape[:2] != targets.shape:
        raise DataError(f"{who}: labels {list(targets.shape)} came with signals {list(inputs.shape)} for [N, T, C].")
    if lengths is not None and (len(lengths) != len(targets) or not 1 <= int(lengths.min()) <= int(lengths.max())):
        raise DataError(f"{who}: {len(lengths)} lengths for {len(targets)} samples, each of at least one step.")
    if inputs.is_floating_point() and not bool(torch.isfinite(inputs).all()):
        first = int((~torch.isfinite(inputs)).flatten(1).any(1).nonzero()[0])
        raise DataError(f"{who}: sample {first} has values that are not finite.")
    labelled = targets != UNLABELLED
    wrong = (labelled & ((targets < 0) | (targets >= classes))).nonzero()
    if len(wrong):
        sample, step = wrong[0].tolist()
        raise DataError(
            f"{who}: label {int(targets[sample, step])} of sample {sample}, step {step} is out of range; expected 0 to "
            f"{classes - 1}, or {UNLABELLED} for none ({len(wrong)} are wrong)."
        )
    if lengths is not None and bool((labelled & (torch.arange(targets.shape[1]) >= lengths[:, None])).any()):
        raise DataError(f"{who}: some steps behind the end of a sample have labels.")
    if not bool(labelled.any()):
        raise DataError(f"{who}: no step has a label.")
