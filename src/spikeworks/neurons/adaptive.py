"""Neurons that adapt: ALIF raises its threshold, AdLIF feeds a slow current back."""

from __future__ import annotations

import math
from collections.abc import Sequence

from torch import Tensor

from .base import Neuron
from .description import Option, register_neuron
from .lif import LIF
from .parameters import Parameter, clamped, positive, real, uniform, unit_interval
from .reset import Reset
from .surrogate import Surrogate


@register_neuron("alif")
class ALIF(LIF):
    """Adaptive-threshold LIF: every spike raises the threshold, which then decays.

    ``b <- adaptation_decay * b + (1 - adaptation_decay) * s``, threshold
    ``threshold + strength * b``; charge, fire and reset are those of LIF, with the reset by
    the raised threshold in the step after the spike. ``strength = 0`` is LIF.

    Source: LSNN (arXiv 1803.09574) and SRNN (arXiv 2103.12593), whose normalised trace is used.
    """

    decay = Parameter(0.9, unit_interval, per="channel", doc="membrane decay a step")
    adaptation_decay = Parameter(0.97, unit_interval, per="channel", doc="decay of the threshold a step")
    strength = Parameter(1.8, real, trainable=False, doc="threshold gained by sustained firing")
    reset = Option(Reset(order="before_charge"), "reset rule")
    surrogate = Option(Surrogate(kind="multi-gaussian", width=0.5), "derivative of the spike in backward")

    def prepare(self) -> None:
        super().prepare()
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
        adaptation = adaptation_decay * adaptation + (1.0 - adaptation_decay) * spike
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
    threshold = Parameter(1.0, positive, trainable=False, doc="firing threshold")
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
