"""LM-H: two leaky compartments whose every coupling is learnt."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from ..core.state import State
from .base import Neuron
from .description import Option, register_neuron
from .parameters import Parameter, above_zero, between, spread
from .reset import Reset


@register_neuron("lmh")
class LMH(Neuron):
    """Learnable multi-hierarchical neuron: dendrite and soma with learnt leaks and couplings.

    ``d <- dendrite_decay * d + to_dendrite * v + x``; ``v <- soma_decay * v + to_soma * d``, with the
    new d; fire where ``v >= threshold``, subtract the threshold from v, without gradient. Before the
    first step v is half a threshold. TC-LIF, whose dendrite keeps all it has, lies outside its ranges.

    Source: LM-H (Hao et al., ICLR 2024) in the form of neuroseqbench, which takes the threshold of
    the reset as 1; the four numbers are logistic functions of the stored ones, one a layer.
    """

    states = ("dendrite", "soma")

    dendrite_decay = Parameter(0.0, between(-0.5, 0.5), doc="dendrite to itself")
    to_dendrite = Parameter(0.0, between(-0.5, 0.5), doc="soma to dendrite")
    soma_decay = Parameter(1.0, between(0.5, 1.5), doc="soma to itself")
    to_soma = Parameter(1.0, between(0.5, 1.5), doc="dendrite to soma")
    threshold = Parameter(1.0, above_zero, trainable=False, doc="firing threshold")
    reset = Option(Reset(detach=True), "reset rule of the soma, after_fire")

    def prepare(self) -> None:
        self.reset.check_immediate("LM-H")

    def rest(self, x: Tensor) -> State:
        return self.state_class(torch.zeros_like(x[0]), spread(0.5 * self.threshold, x))

    def step(  # type: ignore[override]
        self,
        x: Tensor,
        dendrite: Tensor,
        soma: Tensor,
        *,
        dendrite_decay: Tensor,
        to_dendrite: Tensor,
        soma_decay: Tensor,
        to_soma: Tensor,
        threshold: Tensor,
    ) -> Sequence[Tensor]:
        dendrite = dendrite_decay * dendrite + to_dendrite * soma + x
        soma = soma_decay * soma + to_soma * dendrite
        fired = self.fire(soma - threshold)
        return fired, dendrite, self.reset(soma, fired, threshold)
