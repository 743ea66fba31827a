"""What follows the progress of training: widths that narrow, phases that begin late."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from torch import nn


@runtime_checkable
class Scheduled(Protocol):
    """A module that changes while training goes on, as a pure function of its progress."""

    def set_progress(self, progress: float) -> None:
        """Take the values for the share ``progress`` of training, in [0, 1], that is done."""
        ...


def set_progress(network: nn.Module, progress: float) -> None:
    """Tell every :class:`Scheduled` module of ``network`` which share of training is done.

    The training loop calls it before every update; who trains without the loop calls it as well.
    """
    for module in network.modules():
        if isinstance(module, Scheduled):
            module.set_progress(progress)
