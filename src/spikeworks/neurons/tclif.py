"""TC-LIF: a dendrite that remembers and a soma that fires, coupled with opposite signs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from torch import Tensor

from ..core.errors import ConfigError
from .base import Neuron
from .description import Option, register_neuron
from .parameters import Parameter, negative_unit_interval, positive, real, unit_interval


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
    threshold = Parameter(1.0, positive, trainable=False, doc="firing threshold of the soma")
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
    ) -> Sequence[Tensor]:
        dendrite = dendrite + to_dendrite * soma + x
        if spike is not None:
            dendrite = dendrite - dendritic_reset * spike
        soma = soma + to_soma * dendrite
        if spike is not None:
            soma = soma - threshold * spike
        fired = self.fire(soma - threshold)
        if spike is not None:
            return fired, dendrite, soma, fired
        return fired, dendrite - dendritic_reset * fired, soma - threshold * fired
