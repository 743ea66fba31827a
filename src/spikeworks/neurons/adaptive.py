"""Neurons that adapt: ALIF raises its threshold, AdLIF and SE-adLIF feed a slow current back."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

from torch import Tensor

from ..core.errors import ConfigError
from .base import Neuron
from .description import Option, register_neuron
from .lif import LIF
from .parameters import Parameter, above_zero, clamped, positive, real, uniform, uniform_tau, unit_interval
from .reset import Reset
from .surrogate import Surrogate


@register_neuron("alif")
class ALIF(LIF):
    """Adaptive-threshold LIF: every spike raises the threshold, which then decays.

    ``b <- adaptation_decay * b + (1 - adaptation_decay) * s``, threshold
    ``threshold + strength * b``; charge, fire and reset are those of LIF, with the reset by
    the raised threshold in the step after the spike. ``strength = 0`` is LIF.

    Source: SRNN (arXiv 2103.12593) in its trace; it also sets ``gain="one_minus_decay"`` and the
    threshold to 0.01. The form of LSNN (arXiv 1803.09574), ``b <- adaptation_decay * b + s`` and the
    reset in the step of the spike, is ``trace="sum", reset=Reset()``; a strength in one trace is
    ``1 - adaptation_decay`` of that in the other.
    """

    option_types = {**LIF.option_types, "trace": Literal["mean", "sum"]}

    decay = Parameter(0.9, unit_interval, per="channel", doc="membrane decay a step")
    adaptation_decay = Parameter(0.97, unit_interval, per="channel", doc="decay of the threshold a step")
    strength = Parameter(1.8, real, trainable=False, doc="threshold gained by sustained firing")
    reset = Option(Reset(order="before_charge"), "reset rule")
    trace = Option("mean", "whether a spike adds 1 - adaptation_decay to the trace (mean) or 1 (sum)")
    surrogate = Option(Surrogate(kind="multi-gaussian", width=0.5), "derivative of the spike in backward")

    def prepare(self) -> None:
        super().prepare()
        if self.trace not in ("mean", "sum"):
            raise ConfigError(f"trace must be 'mean' or 'sum', got {self.trace!r}.")
        self.states = ("voltage", "adaptation", "spike")

    def step(  # type: ignore[override]
        self,
        x: Tensor,
        voltage: Tensor,
        adaptation: Tensor,
        spike: Tensor,
        *,
        decay: Tensor,
        threshold: Tensor,
        adaptation_decay: Tensor,
        strength: Tensor,
    ) -> Sequence[Tensor]:
        added = (1.0 - adaptation_decay) * spike if self.trace == "mean" else spike
        adaptation = adaptation_decay * adaptation + added
        raised = threshold + strength * adaptation
        delayed = spike if self.reset.delayed else None
        fired, voltage, *_ = super().step(x, voltage, delayed, decay=decay, threshold=raised)
        return fired, voltage, adaptation, fired


@register_neuron("adlif")
class AdLIF(Neuron):
    """LIF with sub-threshold adaptation: a slow current that opposes the membrane.

    ``w <- adaptation_decay * w + coupling * v + kick * s``;
    ``v <- decay * (v - threshold * s) + (1 - decay) * (x - w)``; fire where ``v >= threshold``;
    v and s on the right are those of the step before. Values are cut to their bounds at use.

    Source: sparch (Bittar and Garner 2022, arXiv 2111.12042), which takes the threshold as 1.
    """

    states = ("voltage", "adaptation", "spike")

    decay = Parameter(
        None,
        clamped(math.exp(-1 / 5), math.exp(-1 / 25)),
        per="channel",
        initial=uniform(math.exp(-1 / 5), math.exp(-1 / 25)),
        doc="membrane decay a step",
    )
    adaptation_decay = Parameter(
        None,
        clamped(math.exp(-1 / 30), math.exp(-1 / 120)),
        per="channel",
        initial=uniform(math.exp(-1 / 30), math.exp(-1 / 120)),
        doc="decay of the adaptation a step",
    )
    coupling = Parameter(
        None, clamped(-1.0, 1.0), per="channel", initial=uniform(-1.0, 1.0), doc="membrane to adaptation"
    )
    kick = Parameter(None, clamped(0.0, 2.0), per="channel", initial=uniform(0.0, 2.0), doc="spike to adaptation")
    threshold = Parameter(1.0, above_zero, trainable=False, doc="firing threshold")
    surrogate = Option(Surrogate(kind="rectangle"), "derivative of the spike in backward")

    def step(
        self,
        x: Tensor,
        voltage: Tensor,
        adaptation: Tensor,
        spike: Tensor,
        *,
        decay: Tensor,
        adaptation_decay: Tensor,
        coupling: Tensor,
        kick: Tensor,
        threshold: Tensor,
    ) -> Sequence[Tensor]:
        adaptation = adaptation_decay * adaptation + coupling * voltage + kick * spike
        voltage = decay * (voltage - threshold * spike) + (1.0 - decay) * (x - adaptation)
        fired = self.fire(voltage - threshold)
        return fired, voltage, adaptation, fired


@register_neuron("se-adlif")
class SEAdLIF(Neuron):
    """AdLIF by the symplectic Euler method: the adaptation reads the potential of the same step.

    ``v <- decay * v + (1 - decay) * (gain * x - w)`` with the w before; fire where ``v >= threshold``; reset v;
    ``w <- adaptation_decay * w + (1 - adaptation_decay) * strength * (coupling * v + kick * s)``, with
    the v after its reset. The order keeps a fast oscillation of v and w stable where AdLIF's grows.

    Source: arXiv 2408.07517 and its program, from which strength and ranges come; its reset passes
    no gradient, and its gain is 1: weights and many active inputs make its currents large.
    """

    states = ("voltage", "adaptation")

    decay = Parameter(
        None,
        clamped(math.exp(-1 / 5), math.exp(-1 / 25)),
        per="channel",
        initial=uniform_tau(5.0, 25.0),
        doc="membrane decay a step",
    )
    adaptation_decay = Parameter(
        None,
        clamped(math.exp(-1 / 60), math.exp(-1 / 300)),
        per="channel",
        initial=uniform_tau(60.0, 300.0),
        doc="decay of the adaptation a step",
    )
    coupling = Parameter(
        None, clamped(0.0, 1.0), per="channel", initial=uniform(0.0, 1.0), doc="membrane to adaptation"
    )
    kick = Parameter(None, clamped(0.0, 2.0), per="channel", initial=uniform(0.0, 2.0), doc="spike to adaptation")
    gain = Parameter(5.0, positive, trainable=False, doc="factor on the input")
    strength = Parameter(120.0, positive, trainable=False, doc="factor on coupling and kick, q of the source")
    threshold = Parameter(1.0, above_zero, trainable=False, doc="firing threshold")
    reset = Option(Reset(kind="hard", detach=True), "reset rule, after_fire")
    surrogate = Option(Surrogate(kind="double-exponential", width=0.2), "derivative of the spike in backward")

    def prepare(self) -> None:
        self.reset.check_immediate("SE-adLIF")

    def step(  # type: ignore[override]
        self,
        x: Tensor,
        voltage: Tensor,
        adaptation: Tensor,
        *,
        decay: Tensor,
        adaptation_decay: Tensor,
        coupling: Tensor,
        kick: Tensor,
        gain: Tensor,
        strength: Tensor,
        threshold: Tensor,
    ) -> Sequence[Tensor]:
        charged = decay * voltage + (1.0 - decay) * (gain * x - adaptation)
        fired = self.fire(charged - threshold)
        voltage = self.reset(charged, fired, threshold)
        driven = strength * (coupling * voltage + kick * fired)
        return fired, voltage, adaptation_decay * adaptation + (1.0 - adaptation_decay) * driven
