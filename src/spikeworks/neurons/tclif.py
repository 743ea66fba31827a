"""Two compartments, a dendrite that remembers and a soma that fires: TC-LIF and its family."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor

from ..core.errors import ConfigError
from .base import Neuron
from .description import Option, register_neuron
from .parameters import Parameter, above_zero, negative_unit_interval, real, unit_interval


@register_neuron("tc-lif")
class TCLIF(Neuron):
    """Two-compartment LIF without leaks.

    Dendrite ``d <- d + to_dendrite * u + x - dendritic_reset * s`` and soma
    ``u <- u + to_soma * d - threshold * s``, fire where ``u >= threshold``. Between spikes the
    map has determinant 1 and eigenvalues of modulus 1: nothing fades.

    ``reset_form`` names which potential the coupling reads after a spike:

    - ``"paper"``: the equations of arXiv 2308.13250, spikes of the step before on the right;
    - ``"code"``: the authors' program, which resets at the end of the step, so that the
      dendrite reads the reset soma. ``code`` with ``dendritic_reset = g`` equals ``paper`` with
      ``g + to_dendrite * threshold``; published settings are for this form.

    Source: arXiv 2308.13250, equations for U_D, U_S with beta_1 = ``to_dendrite``,
    beta_2 = ``to_soma``, gamma = ``dendritic_reset``.
    """

    option_types = {"reset_form": Literal["paper", "code"]}

    to_dendrite = Parameter(-0.5, negative_unit_interval, doc="coupling soma to dendrite, beta_1")
    to_soma = Parameter(0.5, unit_interval, doc="coupling dendrite to soma, beta_2")
    dendritic_reset = Parameter(0.5, real, trainable=False, doc="what a spike takes from the dendrite, gamma")
    threshold = Parameter(1.0, above_zero, trainable=False, doc="firing threshold of the soma")
    reset_form = Option("code", "paper or code")

    def prepare(self) -> None:
        if self.reset_form not in ("paper", "code"):
            raise ConfigError(f"reset_form must be 'paper' or 'code', got {self.reset_form!r}.")
        self.states = ("dendrite", "soma", "spike") if self.reset_form == "paper" else ("dendrite", "soma")

    def step(
        self,
        x: Tensor,
        dendrite: Tensor,
        soma: Tensor,
        spike: Tensor | None = None,
        *,
        to_dendrite: Tensor,
        to_soma: Tensor,
        dendritic_reset: Tensor,
        threshold: Tensor,
        dendrite_decay: Tensor | None = None,
        soma_decay: Tensor | None = None,
    ) -> Sequence[Tensor]:
        kept = dendrite if dendrite_decay is None else dendrite_decay * dendrite
        dendrite = kept + to_dendrite * soma + x
        if spike is not None:
            dendrite = dendrite - dendritic_reset * spike
        kept = soma if soma_decay is None else soma_decay * soma
        soma = kept + to_soma * dendrite
        if spike is not None:
            soma = soma - threshold * spike
        fired = self.fire(soma - threshold)
        if spike is not None:
            return fired, dendrite, soma, fired
        return fired, dendrite - dendritic_reset * fired, soma - threshold * fired


@register_neuron("lstm-lif")
class LSTMLIF(TCLIF):
    """LSTM-LIF, the predecessor of TC-LIF: long memory in the dendrite, short memory in the soma.

    TC-LIF in the paper's form, whose dendrite a spike leaves alone (``dendritic_reset = 0``). The
    paper does not settle this last point; re-implementations take it so, and the value is free.

    Source: arXiv 2307.07231.
    """

    dendritic_reset = Parameter(0.0, real, trainable=False, doc="what a spike takes from the dendrite, gamma")
    reset_form = Option("paper", "paper or code")


@register_neuron("two-compartment")
class TwoCompartment(TCLIF):
    """Generalised two-compartment neuron: TC-LIF with a decay in each compartment and free couplings.

    ``d <- dendrite_decay * d + to_dendrite * u + x - dendritic_reset * s`` and
    ``u <- soma_decay * u + to_soma * d - threshold * s``, fire where ``u >= threshold``. With
    both decays at 1 it is TC-LIF, where it starts. Below threshold the map has the determinant
    ``dendrite_decay * soma_decay`` and the trace ``dendrite_decay + soma_decay + to_dendrite *
    to_soma``; with decays of 1 and couplings of equal signs it has an eigenvalue above 1 and
    diverges.

    Source: arXiv 2308.13250, the reduction of the Pinsky-Rinzel cell: alpha_1, alpha_2 the
    decays, beta_1, beta_2 the couplings.
    """

    to_dendrite = Parameter(-0.5, real, doc="coupling soma to dendrite, beta_1")
    to_soma = Parameter(0.5, real, doc="coupling dendrite to soma, beta_2")
    dendritic_reset = Parameter(0.0, real, trainable=False, doc="what a spike takes from the dendrite; 0 in the source")
    dendrite_decay = Parameter(1.0, real, doc="decay of the dendrite a step, alpha_1")
    soma_decay = Parameter(1.0, real, doc="decay of the soma a step, alpha_2")
    reset_form = Option("paper", "paper or code")


@register_neuron("adaptive-tc-lif")
class AdaptiveTCLIF(TCLIF):
    """TC-LIF whose memory decays at a rate that follows the neuron's own firing.

    Decay of a compartment X, dendrite or soma: ``1 - X_leak * sigmoid(X_slope * r + X_offset)``
    with the spike trace ``r <- trace_decay * r + (1 - trace_decay) * s`` up to the step before;
    the rest is TC-LIF. Leaks of 0 are TC-LIF. With decays in [0, 1] and couplings of opposite
    signs no frozen map has an eigenvalue above 1, so eligibility traces stay bounded, which
    those of TC-LIF do not.

    Source: arXiv 2402.15969 revises TC-LIF in this way for online learning. Its gate was not
    available; this one is ours, and results with it are results of this definition.
    """

    dendrite_leak = Parameter(0.02, unit_interval, doc="largest part of the dendrite lost a step")
    dendrite_slope = Parameter(1.0, real, doc="how firing opens the dendrite's leak")
    dendrite_offset = Parameter(0.0, real, doc="the dendrite's gate at rest")
    soma_leak = Parameter(0.02, unit_interval, doc="largest part of the soma lost a step")
    soma_slope = Parameter(1.0, real, doc="how firing opens the soma's leak")
    soma_offset = Parameter(0.0, real, doc="the soma's gate at rest")
    trace_decay = Parameter(0.95, unit_interval, trainable=False, doc="decay of the spike trace a step")
    reset_form = Option("paper", "paper or code")

    def prepare(self) -> None:
        super().prepare()
        self.states = (*self.states, "trace")

    def step(  # type: ignore[override]
        self,
        x: Tensor,
        *states: Tensor,
        dendrite_leak: Tensor,
        dendrite_slope: Tensor,
        dendrite_offset: Tensor,
        soma_leak: Tensor,
        soma_slope: Tensor,
        soma_offset: Tensor,
        trace_decay: Tensor,
        **coefficients: Tensor,
    ) -> Sequence[Tensor]:
        *compartments, trace = states
        fired, *now = super().step(
            x,
            *compartments,
            **coefficients,
            dendrite_decay=1.0 - dendrite_leak * torch.sigmoid(dendrite_slope * trace + dendrite_offset),
            soma_decay=1.0 - soma_leak * torch.sigmoid(soma_slope * trace + soma_offset),
        )
        return fired, *now, trace_decay * trace + (1.0 - trace_decay) * fired
