"""Score of a transcriber: error rate of characters, greedy decoding and the CTC loss.

Legend: ``T`` steps, ``B`` batch, ``K`` labels with the blank, ``L`` labels of a transcript.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence

import torch
from torch import Tensor

from ..core.batch import Batch
from ..core.errors import DataError, ShapeError

BLANK = 0
"""The label that stands for nothing."""


def ctc_losses(output: Tensor, batch: Batch) -> Tensor:
    """Connectionist temporal classification: ``-log p(transcript | frames)`` in nats, summed over paths, ``[B]``.

    Computed at least in float32; label 0 is the blank. Infinite where the frames are too few for the transcript, whose
    labels each take a frame and a further one between two that are equal.

    Args:
        output: scores ``[T, B, K]``, softmax not applied.
        batch: targets ``[B, L]`` padded with -1, and the mask of the frames.

    Raises:
        ShapeError: shapes that do not belong together.

    Source: Graves et al., ICML 2006.
    """
    check_scores(output, batch)
    target = batch.target
    scores = output if output.dtype.itemsize >= 4 else output.float()
    logs = scores.log_softmax(2)
    return torch.nn.functional.ctc_loss(
        logs, target.clamp(min=0), frames_of(batch), label_counts(target), blank=BLANK, reduction="none"
    )


def frames_of(batch: Batch) -> Tensor:
    """Frames of each sequence, int64 ``[B]``."""
    if batch.mask is None:
        return torch.full((batch.size,), batch.length, dtype=torch.int64, device=batch.x.device)
    return batch.mask.sum(0)


def label_counts(target: Tensor) -> Tensor:
    """Labels of each transcript, int64 ``[B]``, from targets ``[B, L]`` padded with -1."""
    return (target >= 0).sum(1)


def check_scores(output: Tensor, batch: Batch) -> None:
    """Raise ShapeError unless ``output`` holds the scores of every frame of the batch."""
    if batch.target.dim() != 2 or output.dim() != 3 or output.shape[:2] != batch.x.shape[:2]:
        raise ShapeError(
            f"Expected label scores of shape {[*batch.x.shape[:2], 'K']} for transcripts [B, L], got "
            f"{list(output.shape)} for {list(batch.target.shape)}.",
            "a transcriber needs the readout 'every'",
        )


def greedy(output: Tensor, frames: Tensor) -> list[list[int]]:
    """The best label of every frame, equal neighbours joined, blanks left out: a transcript for each sequence.

    Args:
        output: scores ``[T, B, K]``.
        frames: that count, ``[B]``.

    Example:
        >>> best = torch.tensor([0, 2, 2, 0, 2, 1, 1])
        >>> greedy(torch.nn.functional.one_hot(best, 3).unsqueeze(1), torch.tensor([7]))
        [[2, 2, 1]]
    """
    found = []
    for labels, count in zip(output.argmax(2).T.tolist(), frames.tolist(), strict=True):
        before = [BLANK, *labels[: count - 1]]
        found.append([now for now, last in zip(labels[:count], before, strict=True) if now not in (last, BLANK)])
    return found


def edit_distance(reference: Sequence[Hashable], found: Sequence[Hashable]) -> int:
    """Fewest insertions, deletions and substitutions that turn one sequence into the other (Levenshtein).

    Example:
        >>> edit_distance("kitten", "sitting")
        3
    """
    row = list(range(len(found) + 1))
    for i, wanted in enumerate(reference, start=1):
        diagonal, row[0] = row[0], i
        for j, given in enumerate(found, start=1):
            diagonal, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, diagonal + (wanted != given))
    return row[-1]


class TranscriptMeter:
    """Character error rate: edits over labels of the references, both summed over all sequences.

    Args:
        unknown: a label that is always wrong, such as one shared by characters that have none of their own.

    Example:
        >>> meter = TranscriptMeter()
        >>> scores = torch.nn.functional.one_hot(torch.tensor([[1], [0], [2]]), 3).float()  # 1, blank, 2
        >>> meter.update(scores, Batch(torch.zeros(3, 1, 4), torch.tensor([[1, 1]])))
        >>> meter.compute()["cer"]
        0.5
    """

    def __init__(self, unknown: int | None = None) -> None:
        self.edits = 0
        self.labels = 0
        self.sequences = 0
        self.right = 0
        self._loss = torch.zeros((), dtype=torch.float64)
        self._unknown = unknown

    def update(self, output: Tensor, batch: Batch) -> None:
        """Count one batch; ``output`` holds the scores of every label at every frame, ``[T, B, K]``.

        Raises:
            ShapeError: another shape.
        """
        losses = ctc_losses(output.detach(), batch)
        self._loss += (losses.double() / label_counts(batch.target).clamp(min=1)).sum().cpu()
        for row, found in zip(batch.target.tolist(), greedy(output, frames_of(batch)), strict=True):
            reference = [label for label in row if label >= 0]
            edits = edit_distance(reference, [-1 if label == self._unknown else label for label in found])
            self.edits += edits
            self.labels += len(reference)
            self.right += edits == 0
            self.sequences += 1

    def compute(self) -> dict[str, float]:
        """``cer`` (may exceed 1), ``exact`` (share of sequences without an error) and mean ``loss`` in nats a label.

        Raises:
            DataError: no label was seen.
        """
        if self.labels == 0:
            raise DataError("An error rate was asked for before any transcript was measured.")
        return {
            "cer": self.edits / self.labels,
            "exact": self.right / self.sequences,
            "loss": float(self._loss) / self.sequences,
        }
