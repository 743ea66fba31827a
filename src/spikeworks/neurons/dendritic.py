"""DH-LIF: dendritic branches with time constants of their own before a leaky soma."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from ..core.errors import ConfigError
from .base import Neuron
from .description import Option, register_neuron
from .lif import LIF
from .parameters import Parameter, unit_interval
from .reset import Reset


def _spread(neuron: Neuron, shape: tuple[int, ...], generator: torch.Generator | None) -> Tensor:
    """Sigmoid of U(0, 4): decays from 0.5 to 0.98."""
    return torch.sigmoid(4.0 * torch.rand(shape, generator=generator, dtype=torch.float64))


@register_neuron("dh-lif")
class DHLIF(LIF):
    """LIF with dendritic heterogeneity: K branches, each a low-pass filter of its own input.

    ``d_k <- branch_decay_k * d_k + (1 - branch_decay_k) * x_k``; their sum is the input of LIF,
    reset by the threshold in the step after a spike. The inputs are one current a branch;
    :class:`~spikeworks.layers.BranchedDense` makes them from disjoint parts of the layer
    before. One branch with a decay of 0 is LIF.

    Args (as configuration):
        branches: K, 1 or more.
        gain: of the soma on the sum: one, or one_minus_decay as in the source (weights take its factor R).

    Source: DH-SNN (Zheng et al. 2024, Nature Communications 15, 277).
    """

    disjoint_inputs = True

    decay = Parameter(None, unit_interval, per="channel", initial=_spread, doc="membrane decay a step")
    branch_decay = Parameter(
        None, unit_interval, per="channel", inner="branches", initial=_spread, doc="decay of a branch a step"
    )
    branches = Option(4, "number of dendritic branches")
    reset = Option(Reset(order="before_charge"), "reset rule")

    def prepare(self) -> None:
        if self.branches < 1:
            raise ConfigError(f"DH-LIF needs at least one branch, got branches={self.branches}.")
        super().prepare()
        self.inputs = tuple(f"branch{k}" for k in range(1, self.branches + 1))
        self.states = (*(f"dendrite{k}" for k in range(1, self.branches + 1)), *self.states)

    def step(self, *tensors: Tensor, branch_decay: Sequence[Tensor], **coefficients: Any) -> Sequence[Tensor]:  # type: ignore[override]
        count = self.branches
        currents, before, membrane = tensors[:count], tensors[count : 2 * count], tensors[2 * count :]
        # the low-pass filter as x + decay * (d - x): one product
        branches = [x + decay * (d - x) for x, d, decay in zip(currents, before, branch_decay, strict=True)]
        total = branches[0]
        for branch in branches[1:]:
            total = total + branch
        fired, *membrane_now = super().step(total, *membrane, **coefficients)
        return fired, *branches, *membrane_now
