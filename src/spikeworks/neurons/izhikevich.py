"""Izhikevich's neuron: a quadratic membrane with a recovery variable, in mV and ms."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from ..core.errors import UnknownName
from ..core.state import State
from .base import Neuron
from .description import Option, register_neuron
from .parameters import Initializer, Parameter, above_zero, positive, real, spread
from .surrogate import Surrogate


class Behaviour(NamedTuple):
    """Values of one firing pattern: a, b, c, d of the source, and the potential at rest in mV."""

    recovery_rate: float
    sensitivity: float
    reset_voltage: float
    recovery_jump: float
    resting_voltage: float


BEHAVIOURS = {
    "tonic-spiking": Behaviour(0.02, 0.2, -65.0, 6.0, -70.0),
    "phasic-spiking": Behaviour(0.02, 0.25, -65.0, 6.0, -64.0),
    "tonic-bursting": Behaviour(0.02, 0.2, -50.0, 2.0, -70.0),
    "mixed-mode": Behaviour(0.02, 0.2, -55.0, 4.0, -70.0),
    "frequency-adaptation": Behaviour(0.01, 0.2, -65.0, 8.0, -70.0),
    "resonator": Behaviour(0.1, 0.26, -60.0, -1.0, -62.0),
    "class-2": Behaviour(0.2, 0.26, -65.0, 0.0, -64.0),
}
"""Firing patterns by name; values of Izhikevich 2004 (doi 10.1109/TNN.2004.832719)."""


def _of_behaviour(name: str) -> Initializer:
    def draw(neuron: Neuron, shape: tuple[int, ...], generator: torch.Generator | None) -> Tensor:
        return torch.full(shape, getattr(BEHAVIOURS[neuron.config.behaviour], name), dtype=torch.float64)

    return draw


@register_neuron("izhikevich")
class Izhikevich(Neuron):
    """Izhikevich's neuron by forward Euler steps of ``step_size`` ms.

    ``v <- v + step_size * (0.04 v**2 + 5 v + 140 - u + gain * x)``,
    ``u <- u + step_size * recovery_rate * (sensitivity * v - u)`` with the v before; fire where
    ``v >= threshold``; then v becomes ``reset_voltage`` and u grows by ``recovery_jump``. Before the
    first step v is ``resting_voltage`` and u is ``sensitivity * resting_voltage``.

    Args (as configuration):
        behaviour: a name of :data:`BEHAVIOURS`; gives each parameter that is not given itself.
        detach_reset: whether the gradient ignores the reset, whose jump of about 90 mV makes it explode.

    Source: Izhikevich 2003 (doi 10.1109/TNN.2003.820440), whose steps of the voltage are 0.5 ms; Norse
    takes 0.25 ms, and both a gain of 1. Tonic spiking needs a current of about 4. At rest the membrane is
    100 mV below the threshold: the surrogate has to reach that far, or a silent neuron learns nothing.
    """

    states = ("voltage", "recovery")

    recovery_rate = Parameter(None, real, trainable=False, initial=_of_behaviour("recovery_rate"), doc="a, 1 / ms")
    sensitivity = Parameter(None, real, trainable=False, initial=_of_behaviour("sensitivity"), doc="b, of u to v")
    reset_voltage = Parameter(None, real, trainable=False, initial=_of_behaviour("reset_voltage"), doc="c, mV")
    recovery_jump = Parameter(None, real, trainable=False, initial=_of_behaviour("recovery_jump"), doc="d, mV")
    resting_voltage = Parameter(None, real, trainable=False, initial=_of_behaviour("resting_voltage"), doc="v(0), mV")
    gain = Parameter(40.0, positive, doc="current that an input of 1 makes, mV / ms")
    threshold = Parameter(30.0, real, trainable=False, doc="potential of a spike, mV")
    step_size = Parameter(0.5, above_zero, trainable=False, doc="time of a step, ms")
    behaviour = Option("tonic-spiking", "firing pattern whose values are taken where none is given")
    detach_reset = Option(True, "whether the gradient ignores the reset")
    surrogate = Option(Surrogate(kind="arctan", width=60.0), "derivative of the spike in backward, width in mV")

    def prepare(self) -> None:
        if self.behaviour not in BEHAVIOURS:
            raise UnknownName("behaviour of Izhikevich", self.behaviour, BEHAVIOURS)

    def coefficients(self, **values: Tensor) -> dict[str, Tensor]:  # type: ignore[override]
        return {name: value for name, value in values.items() if name != "resting_voltage"}

    def rest(self, x: Tensor) -> State:
        voltage = self.resting_voltage
        return self.state_class(spread(voltage, x), spread(self.sensitivity * voltage, x))

    def step(  # type: ignore[override]
        self,
        x: Tensor,
        voltage: Tensor,
        recovery: Tensor,
        *,
        recovery_rate: Tensor,
        sensitivity: Tensor,
        reset_voltage: Tensor,
        recovery_jump: Tensor,
        gain: Tensor,
        threshold: Tensor,
        step_size: Tensor,
    ) -> Sequence[Tensor]:
        slope = (0.04 * voltage + 5.0) * voltage + 140.0 - recovery + gain * x
        recovery = recovery + step_size * recovery_rate * (sensitivity * voltage - recovery)
        voltage = voltage + step_size * slope
        fired = self.fire(voltage - threshold)
        jump = fired.detach() if self.detach_reset else fired
        return fired, voltage * (1.0 - jump) + reset_voltage * jump, recovery + recovery_jump * jump
