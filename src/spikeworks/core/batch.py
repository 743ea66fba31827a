"""What a task hands to a learner: one batch, time first."""

from __future__ import annotations

import dataclasses

from torch import Tensor

UNLABELLED = -100
"""The class of a step that has none."""


@dataclasses.dataclass(frozen=True)
class Batch:
    """Inputs, targets and which steps count.

    Attributes:
        x: floats ``[T, B, ...]``, or token ids ``[B, T]`` (int64) for language tasks.
        target: class ids ``[B]`` (int64), next-token ids ``[B, T]``, a class of every step ``[B, T]`` with -100 where
            a step has none, labels ``[B, L]`` with -1 behind shorter transcripts, or clean and noisy waves
            ``[B, 2, S]``.
        mask: ``[T, B]`` bool, true where the step belongs to the sequence; ``None``: all do.
            Padding stands behind a sequence, never before or inside it.
        fresh: false where the batch continues the one before it, so that the network's
            state is carried over.
        labelled: the target is a class of every step.
    """

    x: Tensor
    target: Tensor
    mask: Tensor | None = None
    fresh: bool = True
    labelled: bool = False

    @property
    def tokens(self) -> bool:
        """True for integer ids ``[B, T]``."""
        return not self.x.is_floating_point()

    @property
    def size(self) -> int:
        """Number of sequences B."""
        return self.target.shape[0]

    @property
    def length(self) -> int:
        """Number of steps T of the longest sequence."""
        return self.x.shape[1] if self.tokens else self.x.shape[0]

    @property
    def count(self) -> int:
        """Number of targets: B, B times T for tokens, or the steps that have a class."""
        if self.labelled:
            return int((self.target >= 0).sum())
        return self.target.numel() if self.tokens else self.size

    def to(self, device: object) -> Batch:
        """The same batch on another device."""
        mask = None if self.mask is None else self.mask.to(device)  # type: ignore[arg-type]
        return dataclasses.replace(self, x=self.x.to(device), target=self.target.to(device), mask=mask)  # type: ignore[arg-type]

    def span(self, steps: slice) -> Tensor:
        """The input of some steps."""
        return self.x[:, steps] if self.tokens else self.x[steps]

    def rows(self, index: slice) -> Batch:
        """A part of the batch, for one of several processes."""
        x = self.x[index] if self.tokens else self.x[:, index]
        mask = None if self.mask is None else self.mask[:, index]
        return dataclasses.replace(self, x=x, target=self.target[index], mask=mask)
