"""Layers with a memory of their own: how a state and temporal credit pass through them."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ..core.credit import Credit
from ..core.errors import ConfigError, ShapeError
from ..core.state import State, detach, leaves


class Stateful(nn.Module):
    """Base of layers whose output at a step depends on earlier inputs, neurons apart.

    ``y, state = layer(x, state)`` with ``x [T, B, C]``; ``state=None`` is rest, and every tensor of a state
    has the batch as its first axis. A subclass writes :meth:`run`; chunks with the state carried equal the
    whole. Credit is cut as in neurons: within a window, or, where no state is carried, every step from rest.

    Attributes:
        credit: how far credit goes back in time; see :class:`~spikeworks.core.credit.Credit`.
    """

    carries_state = True
    """A block hands this layer a state and gets one back."""

    def __init__(self) -> None:
        super().__init__()
        self.credit = Credit()

    def check_credit(self, credit: Credit) -> None:
        """Raise ConfigError where the layer cannot work with ``credit``."""

    def run(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        """All steps of ``x``, and the state behind them; credit is not its business."""
        raise TypeError(f"{type(self).__name__} defines no run.")

    def forward(self, x: Tensor, state: State = None) -> tuple[Tensor, State]:
        """Run over time; see the class."""
        self.check_credit(self.credit)
        if not self.credit.carry:  # every step is a sequence of its own
            y, _ = self.run(x.flatten(0, 1).unsqueeze(0), None)
            return y.reshape(*x.shape[:2], *y.shape[2:]), None
        self._check_batch(x, state)
        if self.credit.window is None:
            return self.run(x, state)
        parts = []
        for part in x.split(self.credit.window):
            y, state = self.run(part, detach(state))
            parts.append(y)
        return torch.cat(parts), state

    def _check_batch(self, x: Tensor, state: State) -> None:
        for name, one in leaves(state):
            if one.shape[0] != x.shape[1]:
                raise ShapeError(
                    f"{type(self).__name__} expected state '{name}' of a batch of {x.shape[1]}, got {list(one.shape)}.",
                    "a state belongs to one batch; pass None to start from rest",
                )


class Whole(tuple[()]):
    """The state of a layer that read a whole sequence at once: there is nothing to go on from."""

    __slots__ = ()


def check_whole(who: str, state: State) -> None:
    """Raise ShapeError where a layer that needs whole sequences is to go on with one."""
    if state is not None:
        raise ShapeError(
            f"{who} reads a whole sequence at once and cannot go on with the next part of one.",
            "feed the sequence whole, or build the network with causal=True",
        )


def check_whole_credit(who: str, credit: Credit) -> None:
    """Raise ConfigError where credit is to be cut inside of a layer that mixes all steps."""
    if not credit.through_time:
        raise ConfigError(
            f"{who} mixes all steps at once; temporal credit cannot be cut to {credit.label}.",
            "build the network with causal=True",
        )
