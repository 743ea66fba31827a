"""How far credit goes back in time: which memory a neuron keeps, and through which of it gradients flow."""

from __future__ import annotations

import dataclasses
from typing import Protocol, runtime_checkable

from torch import nn

from .errors import ConfigError


@dataclasses.dataclass(frozen=True)
class Credit:
    """Temporal credit of a stateful module.

    Steps t count from the start of a call. The default is backpropagation through time (BPTT, STBP).

    Args:
        window: the state, and what a recurrent layer feeds back, is detached before every step with
            ``t % window == 0``, the first one included; ``None`` cuts nothing. 1 is credit in space
            alone (SDBP, SLTT): an output has no gradient with respect to an earlier input. A window as
            long as the call is BPTT from a given state. The forward pass is the same for all windows.
        carry: whether state is kept from step to step. Without, each step starts from rest and hears no
            output of the step before (NoTD): the forward pass is another one, and a window has nothing to cut.
        feedback: whether gradients of a recurrent layer flow through ``R y[t-1]`` into ``y[t-1]``. Without,
            R itself still learns, and the state passes gradients on (the cut of e-prop).

    Raises:
        ConfigError: the window is no positive integer.

    Source: SDBP and NoTD of arXiv 2502.09449, SLTT of arXiv 2302.14311.

    Example:
        >>> [t for t in range(7) if Credit(window=3).cuts(t)]
        [0, 3, 6]
    """

    window: int | None = None
    carry: bool = True
    feedback: bool = True

    def __post_init__(self) -> None:
        if self.window is not None and (not isinstance(self.window, int) or self.window < 1):
            raise ConfigError(
                f"The window of temporal credit is a number of steps from 1 on, got {self.window!r}.",
                "None lets gradients flow through all steps",
            )

    def cuts(self, step: int) -> bool:
        """Whether gradients end before a step, counted from the start of the call."""
        return self.window is not None and step % self.window == 0

    @property
    def through_time(self) -> bool:
        """Whether state, and gradients through it, pass every step."""
        return self.window is None and self.carry

    @property
    def label(self) -> str:
        """In words, for reports."""
        if not self.carry:
            return "no memory (NoTD)"
        reach = {None: "all steps", 1: "one step (SDBP)"}.get(self.window, f"{self.window} steps")
        return reach if self.feedback else f"{reach}, none through feedback"


@runtime_checkable
class Credited(Protocol):
    """A module whose temporal credit can be set."""

    credit: Credit

    def check_credit(self, credit: Credit) -> None:
        """Raise ConfigError where the module cannot work with ``credit``."""
        ...


def set_credit(network: nn.Module, credit: Credit) -> None:
    """Give every :class:`Credited` module of ``network`` the same credit; all or, where one refuses, none.

    Raises:
        ConfigError: a module cannot work with it; the message names the module and what to do.
    """
    members = [module for module in network.modules() if isinstance(module, Credited)]
    for module in members:
        module.check_credit(credit)
    for module in members:
        module.credit = credit
