"""The two probes of temporal processing: training without temporal credit, and without temporal state.

The networks that differ from BPTT's in nothing but time: see arXiv 2502.09449 and sheet 03, section 2.1.
"""

from __future__ import annotations

import dataclasses

from torch import nn

from ..core.config import config_kind
from ..core.credit import Credit, set_credit
from .base import METHODS
from .bptt import BPTTConfig


@METHODS.register("sdbp")
@config_kind("method", "sdbp")
@dataclasses.dataclass(frozen=True, kw_only=True)
class SDBPConfig(BPTTConfig):
    """Backpropagation in space alone: the state of the step before is a constant.

    The forward pass is BPTT's, and so is the loss of the whole sequence; only gradients differ. Method ``sltt``
    has the same gradients for a loss of every step, in memory that does not grow with length.
    """

    def prepare(self, network: nn.Module) -> None:
        """Cut the credit of all neurons between any two steps."""
        set_credit(network, Credit(window=1))


@METHODS.register("notd")
@config_kind("method", "notd")
@dataclasses.dataclass(frozen=True, kw_only=True)
class NoTDConfig(BPTTConfig):
    """No temporal dynamics: every step starts from rest, in training, evaluation and use.

    Hidden layers become classifiers of single frames; what is left of time is the readout's.
    """

    def prepare(self, network: nn.Module) -> None:
        """Let no neuron carry its state."""
        set_credit(network, Credit(carry=False))
