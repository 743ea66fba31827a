"""Neurons with a parameter that changes along the sequence: GLIF and CE-LIF."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from ..core.errors import ConfigError, ShapeError
from ..core.state import State
from .base import Coefficient, Neuron
from .description import Option, register_neuron
from .parameters import Parameter, above_zero, real, unit_interval


class Timed(Neuron):
    """Base of neurons with parameters ``per="step"``: a table of ``steps`` rows, one value a channel in each.

    A subclass names such parameters in ``own_inputs`` and ends its states with ``position``, the
    number of steps since rest, which its step returns plus one. The step receives each
    parameter's row of the moment as an input.

    Args (as configuration):
        steps: rows of the tables, the longest sequence from rest, chunks and streams included.

    Raises:
        ShapeError: a call goes beyond the last row, or a state has no position.
    """

    steps = Option(1024, "longest sequence")

    def prepare(self) -> None:
        if self.steps < 1:
            raise ConfigError(f"{type(self).__name__} needs a table of at least one step, got steps={self.steps}.")

    def drive(self, x: Tensor, state: State) -> Sequence[Tensor]:
        count, batch = x.shape[:2]
        index = torch.arange(count, device=x.device).unsqueeze(1)  # [T, 1], or [T, B] after a state
        last = count
        if state is not None:
            position = list(state)[list(self.states).index("position")].reshape(batch, -1)[:, 0]
            if not bool(((position >= 0) & (position % 1 == 0)).all()):  # infinity has no remainder
                raise ShapeError(
                    f"{type(self).__name__} state 'position' expected whole numbers of steps since rest, got "
                    f"{position[:3].tolist()}.",
                    "pass the state that this neuron returned, or None to start from rest",
                )
            index, last = index + position.long(), count + int(position.max())
        if last > self.steps:
            raise ShapeError(
                f"{type(self).__name__} was built for sequences of up to {self.steps} steps, this one reaches {last}.",
                f"build it with steps={last} or more",
            )
        tail = (1,) * (x.dim() - 3)
        tables = (self.parameters_declared[name].value(self).to(x.dtype) for name in self.own_inputs)
        found = (functional.embedding(index, table) for table in tables)  # [T, 1 or B, size]
        return [rows.reshape(*rows.shape, *tail).expand(x.shape) for rows in found]


_threshold = dataclasses.replace(unit_interval, open=True)


@register_neuron("glif")
class GLIF(Timed):
    """Gated LIF: learnt gates choose between two kinds of leak, of reset and of input gain.

    ``v <- (1 - leak_gate * (1 - decay)) * v * (1 - reset_gate * s) - (1 - leak_gate) * leak``
    ``+ x * (1 - input_gate * (1 - conductance[t])) - (1 - reset_gate) * reset_amount * s``,
    fire where ``v >= threshold``; s is that of the step before. All nine are logistic functions of
    stored numbers. With the gates ``leak_gate, input_gate, reset_gate`` at 1, 0, 1 it is LIF with a
    hard reset; with ``reset_gate`` at 0 the reset is soft.

    Source: arXiv 2210.13768; gates start as in its program.
    """

    own_inputs = ("conductance",)
    states = ("voltage", "spike", "position")

    leak_gate = Parameter(0.65, unit_interval, per="channel", doc="exponential (1) or linear (0) leak, alpha")
    input_gate = Parameter(0.35, unit_interval, per="channel", doc="how far the conductance acts, beta")
    reset_gate = Parameter(0.65, unit_interval, per="channel", doc="hard (1) or soft (0) reset, gamma")
    decay = Parameter(0.25, unit_interval, per="channel", doc="what an exponential leak leaves, tau")
    leak = Parameter(0.0625, unit_interval, per="channel", doc="what a linear leak takes a step")
    reset_amount = Parameter(0.5, unit_interval, per="channel", doc="what a soft reset takes")
    threshold = Parameter(0.5, _threshold, per="channel", doc="firing threshold")
    conductance = Parameter(0.5, unit_interval, per="step", doc="gain of the input at each step, c")

    def coefficients(self, **values: Any) -> dict[str, Coefficient]:
        leak_gate, reset_gate, input_gate = (values[f"{name}_gate"] for name in ("leak", "reset", "input"))
        return {
            "keep": 1.0 - leak_gate * (1.0 - values["decay"]),
            "lost": (1.0 - leak_gate) * values["leak"],
            "input_gate": input_gate,
            "open_input": 1.0 - input_gate,
            "reset_gate": reset_gate,
            "subtracted": (1.0 - reset_gate) * values["reset_amount"],
            "threshold": values["threshold"],
        }

    def step(  # type: ignore[override]
        self,
        x: Tensor,
        conductance: Tensor,
        voltage: Tensor,
        spike: Tensor,
        position: Tensor,
        *,
        keep: Tensor,
        lost: Tensor,
        input_gate: Tensor,
        open_input: Tensor,
        reset_gate: Tensor,
        subtracted: Tensor,
        threshold: Tensor,
    ) -> Sequence[Tensor]:
        current = x * (open_input + input_gate * conductance)
        voltage = keep * voltage * (1.0 - reset_gate * spike) - lost + current - subtracted * spike
        fired = self.fire(voltage - threshold)
        return fired, voltage, fired, position + 1.0


def _sinusoids(neuron: Neuron, shape: tuple[int, ...], generator: torch.Generator | None) -> Tensor:
    """Waves of falling frequency along the channels, as for the tokens of a transformer, times 0.01."""
    steps, size = shape
    frequency = torch.exp(-math.log(1e4) * torch.arange(0, size, 2, dtype=torch.float64) / size)
    angle = torch.arange(steps, dtype=torch.float64).unsqueeze(1) * frequency
    return 0.01 * torch.stack([angle.sin(), angle.cos()], -1).flatten(1)[:, :size]


@register_neuron("ce-lif")
class CELIF(Timed):
    """Context-embedding LIF: a learnt value for each step turns the potential into a shift of the threshold.

    ``shift <- (1 - relaxation) * shift + v * context[t]``; ``v <- decay * v * (1 - s) + x``; fire where
    ``v >= threshold + shift``; on the right v, before its reset, and s are those of the step before.
    With a context of 0 it is LIF with a hard reset.

    Source: arXiv 2308.15150; where its network supplies the embedding, it is a trained table here
    that starts as sinusoids times 0.01.
    """

    own_inputs = ("context",)
    states = ("voltage", "spike", "shift", "position")

    decay = Parameter(0.9, unit_interval, trainable=False, doc="membrane decay a step")
    threshold = Parameter(1.0, above_zero, trainable=False, doc="firing threshold without context")
    relaxation = Parameter(0.02, unit_interval, trainable=False, doc="what the shift loses a step, beta")
    context = Parameter(None, real, per="step", initial=_sinusoids, doc="effect of the potential on the threshold, E")

    def step(  # type: ignore[override]
        self,
        x: Tensor,
        context: Tensor,
        voltage: Tensor,
        spike: Tensor,
        shift: Tensor,
        position: Tensor,
        *,
        decay: Tensor,
        threshold: Tensor,
        relaxation: Tensor,
    ) -> Sequence[Tensor]:
        shift = (1.0 - relaxation) * shift + voltage * context
        voltage = decay * voltage * (1.0 - spike) + x
        fired = self.fire(voltage - threshold - shift)
        return fired, voltage, fired, shift, position + 1.0
