"""Score of a classifier that answers at every step; steps without a class count nowhere.

Legend: ``T`` steps, ``B`` batch, ``K`` classes.
"""

from __future__ import annotations

from torch import Tensor

from ..core.batch import UNLABELLED, Batch
from ..core.errors import ShapeError
from .classify import ClassificationMeter


class LabellingMeter(ClassificationMeter):
    """As :class:`~spikeworks.measure.classify.ClassificationMeter`, each labelled step for itself.

    Example:
        >>> import torch
        >>> meter = LabellingMeter(2)
        >>> scores = torch.tensor([[[2.0, 0.0]], [[0.0, 1.0]], [[0.0, 1.0]]])
        >>> meter.update(scores, Batch(torch.zeros(3, 1, 1), torch.tensor([[0, UNLABELLED, 0]]), labelled=True))
        >>> meter.compute()["accuracy"], meter.count
        (0.5, 2)
    """

    def update(self, output: Tensor, batch: Batch) -> None:
        """Count one batch; ``output`` holds scores ``[T, B, K]``, targets are ``[B, T]``.

        Raises:
            ShapeError: another shape; DataError: a class out of range.
        """
        check_step_scores(output, batch.target, self.classes)
        target = batch.target.t()
        kept = target != UNLABELLED
        scores, target = output[kept], target[kept]
        super().update(scores, Batch(x=scores, target=target))


def check_step_scores(output: Tensor, target: Tensor, classes: int) -> None:
    """Raise ShapeError unless scores ``[T, B, K]`` belong to targets ``[B, T]``."""
    expected = (*reversed(target.shape), classes)
    if target.dim() != 2 or output.shape != expected:
        raise ShapeError(
            f"Expected class scores of every step, {list(expected)} for targets {list(target.shape)}, "
            f"got {list(output.shape)}.",
            "a label at every step needs the readout 'every'",
        )
