"""What transcription tasks share: CTC loss and character error rate.

Labels are aligned with frames by connectionist temporal classification alone, and decoded greedily; there is no
attention decoder and no language model here, which the arena's recipe for AISHELL-1 adds to a CTC loss of weight 0.5.

Legend: ``T`` frames, ``B`` batch, ``K`` labels with the blank.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ..core.batch import Batch
from ..core.errors import ConfigError
from ..measure.transcript import BLANK, TranscriptMeter, ctc_losses, label_counts
from .base import MetricInfo, Task

CER = MetricInfo("cer", "fraction", False)


class TranscriptTask(Task):
    """A shorter sequence of labels for every sequence of frames; label 0 is CTC's blank.

    Attributes:
        unknown: the label that all characters without one of their own share; it never counts as right.
    """

    metric = CER
    default_readout = "every"
    whole_loss = "CTC sums over all ways to place the labels on a whole sequence"
    unknown: int | None = None

    def random_target(self, steps: int, size: int, generator: torch.Generator) -> Tensor:
        # every second frame at most, so that a path exists even where labels repeat
        count = max(1, min(steps // 8, (steps + 1) // 2))
        return torch.randint(BLANK + 1, self.signature.outputs, (size, count), generator=generator)

    def loss(self, output: Tensor, batch: Batch) -> Tensor:
        """Mean over the sequences of CTC's ``-log p`` in nats, each divided by the number of its labels.

        This is what torch calls ``reduction="mean"``; programs that add up ``-log p`` and divide by the batch weigh
        long transcripts more.

        Raises:
            ShapeError: the output is not one score for every label and frame.
        """
        return (ctc_losses(output, batch) / label_counts(batch.target).clamp(min=1)).mean()

    def meter(self) -> TranscriptMeter:
        return TranscriptMeter(self.unknown)


def join_frames(frames: Tensor, count: int) -> Tensor:
    """``count`` frames side by side as one step, ``[T, C]`` to ``[T // count, count * C]``; what is over is left out.

    A sequence shorter than that is padded with zeros to one step.
    """
    if count == 1:
        return frames
    frames = torch.nn.functional.pad(frames, (0, 0, 0, max(0, count - len(frames))))
    steps = len(frames) // count
    return frames[: steps * count].reshape(steps, -1)


def check_speech(who: str, stack: int, speeds: tuple[float, ...]) -> None:
    """Raise ConfigError for options that no transcription task has."""
    if stack < 1:
        raise ConfigError(f"{who}: stack counts the frames of a step, at least 1, got {stack}.")
    if not speeds or not all(0.5 <= speed <= 2 for speed in speeds):
        raise ConfigError(f"{who}: speeds lie between 0.5 and 2, got {speeds}.")
