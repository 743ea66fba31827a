"""Resonators: a complex potential that turns while it fades; RF, balanced RF and its harmonic form."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Literal

import torch
from torch import Tensor

from ..core.errors import ConfigError
from .base import Coefficient, Neuron
from .description import Option, register_neuron
from .parameters import Parameter, above_zero, at_least, between, positive, uniform, unit_interval
from .surrogate import Surrogate


@register_neuron("rf")
class ResonateAndFire(Neuron):
    """Resonate and fire: a damped rotation ``z <- decay * exp(2 pi i / period) * z + x``.

    ``form`` names what a spike is:

    - ``"phase"``: the real part is at or above the threshold while the imaginary part goes from
      negative to not negative (the phase passes 0); nothing is reset. The gradient is that of
      the product of the three conditions.
    - ``"izhikevich"``: the imaginary part is at or above the threshold; z becomes
      ``i * threshold``.

    Between spikes ``|z|`` shrinks by ``decay`` a step. The input is real.

    Source: Izhikevich 2001 (doi 10.1016/S0893-6080(01)00078-8) and lava-dl, whose decay is
    ``1 - decay`` here, in fixed-point numbers there (its reset leaves one quantum less).
    """

    option_types = {"form": Literal["phase", "izhikevich"]}
    states = ("real", "imaginary")

    decay = Parameter(0.95, unit_interval, doc="what is left of the modulus after a step")
    period = Parameter(
        None, at_least(4.0), per="channel", initial=uniform(5.0, 30.0), doc="steps of one turn, at least 4"
    )
    threshold = Parameter(1.0, above_zero, trainable=False, doc="firing threshold")
    form = Option("phase", "phase or izhikevich")

    def prepare(self) -> None:
        if self.form not in ("phase", "izhikevich"):
            raise ConfigError(f"form must be 'phase' or 'izhikevich', got {self.form!r}.")

    def coefficients(self, **values: Any) -> dict[str, Coefficient]:
        angle = 2.0 * math.pi / values["period"]
        turn = {"cosine": values["decay"] * torch.cos(angle), "sine": values["decay"] * torch.sin(angle)}
        return {**turn, "threshold": values["threshold"]}

    def step(  # type: ignore[override]
        self, x: Tensor, real: Tensor, imaginary: Tensor, *, cosine: Tensor, sine: Tensor, threshold: Tensor
    ) -> Sequence[Tensor]:
        before = imaginary
        real, imaginary = cosine * real - sine * imaginary + x, sine * real + cosine * imaginary
        if self.form == "izhikevich":
            fired = self.fire(imaginary - threshold)
            kept = 1.0 - fired
            return fired, real * kept, imaginary * kept + threshold * fired
        fired = self.fire(real - threshold) * self.fire(imaginary) * (1.0 - self.fire(before))
        return fired, real, imaginary


MAXIMAL_FREQUENCY = 100.0
"""Angular frequency at which a step of 0.01 turns by one radian: beyond it Euler steps diverge at any damping."""


@register_neuron("brf")
class BalancedRF(Neuron):
    """Balanced resonate and fire: Euler steps kept inside their boundary of divergence.

    With the step d: ``x <- x + d * (b x - w y + gain * I)``, ``y <- y + d * (w x + b y)``, both from
    the values before; fire where ``x >= threshold + q``; ``q <- 0.9 q + s``. The damping is
    ``b = (sqrt(1 - (d w)**2) - 1) / d - offset - q``: its first term alone keeps
    ``|1 + d (b + i w)| = 1``, the offset and the refractory trace q shrink from there. No reset.

    Args (as configuration):
        step_size: d; at most 0.01, so that ``d * frequency`` stays below 1.

    Source: arXiv 2402.14603; ``gain = 1`` and a surrogate of two Gaussians in the source.
    """

    states: Sequence[str] = ("real", "imaginary", "refractory")

    frequency = Parameter(
        None, between(0.0, MAXIMAL_FREQUENCY), per="channel", initial=uniform(5.0, 10.0), doc="w, radians a time unit"
    )
    offset = Parameter(None, positive, per="channel", initial=uniform(2.0, 3.0), doc="damping beyond the boundary")
    gain = Parameter(100.0, positive, trainable=False, doc="factor on the input; 1 / step_size adds it as it is")
    refractory_decay = Parameter(0.9, unit_interval, trainable=False, doc="decay of q a step")
    threshold = Parameter(1.0, above_zero, trainable=False, doc="firing threshold at rest")
    step_size = Option(0.01, "time of a step")
    surrogate = Option(Surrogate(kind="multi-gaussian", width=0.5), "derivative of the spike in backward")

    def prepare(self) -> None:
        if not 0 < self.step_size <= 1 / MAXIMAL_FREQUENCY:
            raise ConfigError(
                f"step_size must lie in (0, {1 / MAXIMAL_FREQUENCY:g}], got {self.step_size:g}: frequencies reach "
                f"{MAXIMAL_FREQUENCY:g}, and longer steps diverge."
            )

    def coefficients(self, **values: Any) -> dict[str, Coefficient]:
        turn = self.step_size * values["frequency"]
        boundary = torch.sqrt(1.0 - turn * turn) - 1.0
        return {
            "keep": 1.0 + boundary - self.step_size * values["offset"],
            "turn": turn,
            **self._common(values),
        }

    def step(  # type: ignore[override]
        self,
        x: Tensor,
        real: Tensor,
        imaginary: Tensor,
        refractory: Tensor,
        *,
        keep: Tensor,
        turn: Tensor,
        gain: Tensor,
        refractory_decay: Tensor,
        threshold: Tensor,
    ) -> Sequence[Tensor]:
        keep = keep - self.step_size * refractory
        real, imaginary = keep * real - turn * imaginary + gain * x, turn * real + keep * imaginary
        fired = self.fire(real - threshold - refractory)
        return fired, real, imaginary, refractory_decay * refractory + fired

    def _common(self, values: dict[str, Tensor]) -> dict[str, Coefficient]:
        kept = {name: values[name] for name in ("refractory_decay", "threshold")}
        return {"gain": self.step_size * values["gain"], **kept}


@register_neuron("bhrf")
class BalancedHarmonicRF(BalancedRF):
    """Balanced harmonic resonate and fire: a damped spring in place of the rotation.

    With the step d: ``y <- y + d * u``; ``u <- u + d * (gain * I - 2 b u - w**2 y)``, with the new y;
    fire where ``u >= threshold + q``; ``q <- 0.9 q + s``. The damping is
    ``b = d w**2 / 2 + offset + q``, whose first term is the boundary of explicit Euler steps; in
    the half-implicit steps taken here, as in the source's program, it already damps: the
    moduli of both eigenvalues multiply to ``1 - 2 d b``.

    Source: arXiv 2402.14603 (appendix) and its program.
    """

    states = ("potential", "displacement", "refractory")

    def coefficients(self, **values: Any) -> dict[str, Coefficient]:
        turn = self.step_size * values["frequency"]
        return {
            "keep": 1.0 - turn * turn - 2.0 * self.step_size * values["offset"],
            "stiffness": turn * values["frequency"],
            **self._common(values),
        }

    def step(  # type: ignore[override]
        self,
        x: Tensor,
        potential: Tensor,
        displacement: Tensor,
        refractory: Tensor,
        *,
        keep: Tensor,
        stiffness: Tensor,
        gain: Tensor,
        refractory_decay: Tensor,
        threshold: Tensor,
    ) -> Sequence[Tensor]:
        displacement = displacement + self.step_size * potential
        keep = keep - 2.0 * self.step_size * refractory
        potential = keep * potential - stiffness * displacement + gain * x
        fired = self.fire(potential - threshold - refractory)
        return fired, potential, displacement, refractory_decay * refractory + fired
