"""Leaky integrate-and-fire neurons with one membrane: LIF, PLIF, CUBA-LIF."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from torch import Tensor

from ..core.errors import ConfigError
from .base import Neuron
from .description import Option, register_neuron
from .parameters import Parameter, positive, unit_interval
from .reset import Reset

Gain = Literal["one", "one_minus_decay"]


@register_neuron("lif")
class LIF(Neuron):
    """Leaky integrate and fire.

    Charge ``v <- decay * v + gain * x``, fire where ``v >= threshold``, reset. The pair
    (decay, gain) and the reset order are part of the model: ``gain="one_minus_decay"`` is the
    low-pass form, ``Reset(order="before_charge")`` delays the reset to the next step.

    Source: the common discretisation, as in STBP (arXiv 1706.02609).
    """

    option_types = {"gain": Gain}

    decay = Parameter(0.9, unit_interval, trainable=False, doc="membrane decay a step")
    threshold = Parameter(1.0, positive, trainable=False, doc="firing threshold")
    reset = Option(Reset(), "reset rule")
    gain = Option("one", "factor on the input: one, or one_minus_decay")

    def prepare(self) -> None:
        if self.gain not in ("one", "one_minus_decay"):
            raise ConfigError(f"gain must be 'one' or 'one_minus_decay', got {self.gain!r}.")
        self.states = ("voltage", "spike") if self.reset.delayed else ("voltage",)

    def step(
        self, x: Tensor, voltage: Tensor, spike: Tensor | None = None, *, decay: Tensor, threshold: Tensor
    ) -> Sequence[Tensor]:
        leaked = decay * voltage
        if spike is not None:
            leaked = self.reset(leaked, spike, threshold)
        charged = leaked + (x if self.gain == "one" else (1.0 - decay) * x)
        fired = self.fire(charged - threshold)
        if spike is not None:
            return fired, charged, fired
        return fired, self.reset(charged, fired, threshold)


@register_neuron("plif")
class PLIF(LIF):
    """LIF whose decay is learnt (parametric LIF).

    Source: arXiv 2007.05785. The decay is stored as a logit; one a layer unless ``per_channel``.
    """

    decay = Parameter(0.9, unit_interval, doc="membrane decay a step, learnt")


@register_neuron("cuba-lif")
class CubaLIF(LIF):
    """LIF driven by a synaptic current: ``i <- current_decay * i + x`` takes the place of x.

    The membrane reads the current of the same step; a reset leaves the current alone.
    With ``current_decay`` towards 0 it is LIF. Source: SLAYER (arXiv 1810.08646).
    """

    current_decay = Parameter(0.5, unit_interval, trainable=False, doc="synaptic decay a step")

    def prepare(self) -> None:
        super().prepare()
        self.states = ("current", *self.states)

    def step(  # type: ignore[override]
        self, x: Tensor, current: Tensor, *membrane: Tensor, current_decay: Tensor, **coefficients: Tensor
    ) -> Sequence[Tensor]:
        current = current_decay * current + x
        fired, *membrane_now = super().step(current, *membrane, **coefficients)
        return fired, current, *membrane_now
