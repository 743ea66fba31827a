"""Integrate-and-fire neurons with one membrane: LIF, IF, PLIF, CUBA-LIF, KLIF, CLIF."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor

from ..core.errors import ConfigError
from .base import Neuron
from .description import Option, register_neuron
from .parameters import Parameter, above_zero, unit_interval
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
    threshold = Parameter(1.0, above_zero, trainable=False, doc="firing threshold")
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
        charged = leaked + self.scaled(x, decay)
        fired = self.fire(charged - threshold)
        if spike is not None:
            return fired, charged, fired
        return fired, self.reset(charged, fired, threshold)

    def scaled(self, x: Tensor, decay: Tensor) -> Tensor:
        """The input times its gain."""
        return x if self.gain == "one" else (1.0 - decay) * x


@register_neuron("if")
class IF(LIF):
    """Integrate and fire: LIF that forgets nothing, ``v <- v + x``.

    Source: Lapicque's model; in this form the neuron of converted networks (arXiv 1612.04052).
    """

    option_types: ClassVar = {}

    decay: Any = None  # neither a decay nor a gain by it remains
    gain: Any = "one"

    def step(  # type: ignore[override]
        self, x: Tensor, voltage: Tensor, spike: Tensor | None = None, *, threshold: Tensor
    ) -> Sequence[Tensor]:
        return super().step(x, voltage, spike, decay=torch.ones_like(x), threshold=threshold)


@register_neuron("plif")
class PLIF(LIF):
    """LIF whose decay is learnt (parametric LIF).

    Source: arXiv 2007.05785. The decay is stored as a logit; one a layer unless ``per_channel``.
    That paper stores ``w`` with ``1 / tau = sigmoid(w)``, the negative of this logit, and uses
    ``gain="one_minus_decay"``.
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


@register_neuron("klif")
class KLIF(LIF):
    """LIF that fires on a scaled and rectified potential.

    Charge as LIF to h; ``f = relu(slope * h)``; fire where ``f >= threshold``; f is reset and kept. With
    ``scale_reset`` f and the amount of the reset are divided by the slope before. The slope also
    scales the surrogate's gradient. With ``slope = 1`` it is LIF whose potential cannot be negative.

    Source: arXiv 2302.09238, which leaves the sign of the slope k free; it stays positive here.
    """

    slope = Parameter(1.0, above_zero, doc="factor on the potential, k")
    scale_reset = Option(False, "whether the kept potential is divided by the slope")

    def prepare(self) -> None:
        super().prepare()
        self.reset.check_immediate("KLIF")

    def step(  # type: ignore[override]
        self, x: Tensor, voltage: Tensor, *, decay: Tensor, threshold: Tensor, slope: Tensor
    ) -> Sequence[Tensor]:
        scaled = torch.relu(slope * (decay * voltage + self.scaled(x, decay)))
        fired = self.fire(scaled - threshold)
        if self.scale_reset:
            return fired, self.reset(scaled / slope, fired, threshold / slope)
        return fired, self.reset(scaled, fired, threshold)


@register_neuron("clif")
class CLIF(Neuron):
    """Complementary LIF: a second potential remembers spikes and deepens the reset.

    ``v <- decay * v + x``; fire where ``v >= threshold``; ``m <- m * sigmoid((1 - decay) * v) + s``,
    with v before the reset; ``v <- v - s * (threshold + sigmoid(m))``. No parameter beyond LIF's.

    Source: arXiv 2402.04663, with ``decay = 1 - 1 / tau`` and tau = 2.
    """

    states = ("voltage", "complement")

    decay = Parameter(0.5, unit_interval, trainable=False, doc="membrane decay a step")
    threshold = Parameter(1.0, above_zero, trainable=False, doc="firing threshold")

    def step(  # type: ignore[override]
        self, x: Tensor, voltage: Tensor, complement: Tensor, *, decay: Tensor, threshold: Tensor
    ) -> Sequence[Tensor]:
        charged = decay * voltage + x
        fired = self.fire(charged - threshold)
        complement = complement * torch.sigmoid((1.0 - decay) * charged) + fired
        return fired, charged - fired * (threshold + torch.sigmoid(complement)), complement
