"""Score of a classifier: counts in int64, losses in float64, so that nothing drifts.

Legend: ``B`` batch, ``K`` classes.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ..core.batch import Batch
from ..core.errors import DataError, ShapeError


class ClassificationMeter:
    """Accuracy, balanced accuracy, recall of each class, confusion and mean loss.

    Args:
        classes: number of classes K.

    Example:
        >>> meter = ClassificationMeter(2)
        >>> meter.update(torch.tensor([[2.0, 0.0], [1.0, 0.0]]), Batch(torch.zeros(1, 2, 1), torch.tensor([0, 1])))
        >>> meter.compute()["accuracy"], meter.confusion.tolist()
        (0.5, [[1, 0], [1, 0]])
    """

    def __init__(self, classes: int) -> None:
        self.classes = classes
        self._confusion = torch.zeros(classes, classes, dtype=torch.int64)
        self._loss = torch.zeros((), dtype=torch.float64)

    def update(self, output: Tensor, batch: Batch) -> None:
        """Count one batch; ``output`` holds one score for each class, ``[B, K]``.

        Raises:
            ShapeError: another shape; DataError: a label out of range.
        """
        target = batch.target
        if output.shape != (len(target), self.classes):
            raise ShapeError(
                f"Expected class scores of shape [{len(target)}, {self.classes}], got {list(output.shape)}.",
                "a classifier needs a readout that joins the steps: mean, last, sum or leaky",
            )
        if len(target) and not (int(target.min()) >= 0 and int(target.max()) < self.classes):
            raise DataError(
                f"Labels run from {int(target.min())} to {int(target.max())}; expected 0 to {self.classes - 1}."
            )
        scores = output.detach().double()
        cells = target * self.classes + scores.argmax(1)
        counts = torch.bincount(cells, minlength=self.classes**2).reshape(self.classes, self.classes)
        self._confusion += counts.cpu()
        self._loss += torch.nn.functional.cross_entropy(scores, target, reduction="sum").cpu()

    @property
    def confusion(self) -> Tensor:
        """Counts ``[K, K]``, int64: rows are true classes, columns predicted ones."""
        return self._confusion.clone()

    @property
    def count(self) -> int:
        """Samples seen."""
        return int(self._confusion.sum())

    @property
    def recall(self) -> Tensor:
        """Share of each class that was found, float64 ``[K]``; NaN where a class did not occur."""
        confusion = self._confusion.double()
        return confusion.diagonal() / confusion.sum(1)

    def compute(self) -> dict[str, float]:
        """``accuracy``, ``balanced_accuracy`` (mean recall of the classes that occurred) and mean ``loss``.

        Raises:
            DataError: no sample was seen.
        """
        count = self.count
        if count == 0:
            raise DataError("A score was asked for before any sample was measured.")
        recall = self.recall
        return {
            "accuracy": int(self._confusion.diagonal().sum()) / count,
            "balanced_accuracy": float(recall[~recall.isnan()].mean()),
            "loss": float(self._loss) / count,
        }
