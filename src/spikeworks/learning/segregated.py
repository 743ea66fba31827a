"""The probes of temporal processing: training without temporal credit, or without temporal state.

The networks differ from BPTT's in nothing but time: see arXiv 2502.09449 and sheet 03, section 2.1. A
window above 1 says how much of it they have, for the horizon curves of the probe.
"""

from __future__ import annotations

import dataclasses

from torch import nn

from ..core.config import config_kind
from ..core.credit import Credit, set_credit
from .base import METHODS
from .bptt import BPTTConfig
from .forgetful import check_window, make_forgetful


@METHODS.register("sdbp")
@config_kind("method", "sdbp")
@dataclasses.dataclass(frozen=True, kw_only=True)
class SDBPConfig(BPTTConfig):
    """Backpropagation in space alone: the state of the step before is a constant.

    The forward pass is BPTT's, and so is the loss of the whole sequence; only gradients differ. Method ``sltt``
    has the same gradients for a loss of every step, in memory that does not grow with length.

    Attributes:
        window: steps that credit goes back through: gradients end before every step t with
            ``t % window == 0``. 1 is SDBP; as many as the sequence has are BPTT.
    """

    window: int = 1

    def __post_init__(self) -> None:
        check_window(self.window, "temporal credit")

    def prepare(self, network: nn.Module) -> None:
        """Cut the credit of all neurons between any two windows."""
        set_credit(network, Credit(window=self.window))


@METHODS.register("notd")
@config_kind("method", "notd")
@dataclasses.dataclass(frozen=True, kw_only=True)
class NoTDConfig(BPTTConfig):
    """No temporal dynamics: every step starts from rest, in training, evaluation and use.

    Hidden layers become classifiers of single frames; what is left of time is the readout's.

    Attributes:
        window: steps after which neurons start from rest again, see
            :class:`~spikeworks.learning.forgetful.Forgetful`. 1 is NoTD; as many as the sequence has are BPTT.
    """

    window: int = 1

    def __post_init__(self) -> None:
        check_window(self.window, "memory")

    def prepare(self, network: nn.Module) -> None:
        """Let no neuron carry its state out of a window."""
        if self.window == 1:
            set_credit(network, Credit(carry=False))
        else:
            make_forgetful(network, self.window)
