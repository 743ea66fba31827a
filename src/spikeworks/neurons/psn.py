"""PSN and masked PSN: a threshold on one linear map of the whole sequence, without reset."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from ..core.errors import ConfigError, ShapeError, TraceError
from ..core.operations import Operations
from ..core.state import State
from .base import Coefficient, Neuron, Signal
from .description import Option, register_neuron
from .parameters import Parameter, clamped, real
from .surrogate import Surrogate


def _square(neuron: Any, shape: tuple[int, ...], generator: torch.Generator | None) -> Tensor:
    """U(-1/sqrt(T), 1/sqrt(T)), [T, T]: Kaiming uniform with a = sqrt(5)."""
    u = torch.rand(neuron.steps, neuron.steps, generator=generator, dtype=torch.float64)
    return (2.0 * u - 1.0) / math.sqrt(neuron.steps)


def _column(neuron: Any, shape: tuple[int, ...], generator: torch.Generator | None) -> Tensor:
    return torch.full((neuron.steps, 1), -1.0, dtype=torch.float64)


@register_neuron("psn")
class PSN(Neuron):
    """Parallel spiking neuron: ``h = W x + b`` over the whole sequence, fire where ``h >= 0``.

    W is ``[T, T]`` and b ``[T, 1]``, shared by all neurons of the layer; the threshold is part
    of b, which starts at -1. The neuron has no state and no step: a spike depends on inputs that
    come after it, so a sequence must be fed whole and cannot be streamed. The sliding PSN is
    the form for streams.

    Args (as configuration):
        steps: T, the longest sequence. A shorter one is run as if zeros followed it.

    Source: arXiv 2304.12760.
    """

    whole_sequence = True
    binary = True  # type: ignore[assignment]  # its output is a threshold, and there is no step to trace

    weight = Parameter(None, real, initial=_square, doc="W, from step to step")
    bias = Parameter(None, real, initial=_column, doc="b, one a step; minus the threshold")
    steps = Option(128, "longest sequence")
    surrogate = Option(Surrogate(kind="arctan"), "derivative of the spike in backward")

    def prepare(self) -> None:
        if self.steps < 1:
            raise ConfigError(f"{type(self).__name__} needs at least one step, got steps={self.steps}.")
        if self.config.per_channel:
            raise ConfigError(f"{type(self).__name__} shares its weights; per_channel={self.config.per_channel}.")

    def step(self, x: Tensor, *states: Tensor, **coefficients: Any) -> Sequence[Tensor]:
        raise TraceError(f"{type(self).__name__} has no step: it reads the whole sequence at once (parallel form)")

    def coefficients(self, **values: Any) -> dict[str, Coefficient]:
        steps = self.steps
        return {"weight": self.mixing(values).expand(steps, steps), "bias": values["bias"].expand(steps, 1)}

    def mixing(self, values: dict[str, Tensor]) -> Tensor:
        """The matrix that acts on the sequence, ``[T, T]``."""
        return values["weight"]

    def parallel(self, x: Tensor, *, weight: Tensor, bias: Tensor) -> tuple[Tensor, Sequence[Tensor]]:  # type: ignore[override]
        """All steps at once, as one matrix product."""
        steps = len(x)
        mixed = torch.addmm(bias[:steps], weight[:steps, :steps], x.flatten(1))
        return self.fire(mixed.reshape(x.shape)), ()

    def forward(self, x: Signal, state: State = None) -> tuple[Tensor, State]:
        """Run a whole sequence; for shapes see :meth:`Neuron.forward`.

        Raises:
            ShapeError: the sequence is longer than the neuron was built for, or is the next
                part of one.
        """
        (signal,) = self._signals(x)
        if len(signal) > self.steps:
            raise ShapeError(
                f"{type(self).__name__} was built for at most {self.steps} steps, got {len(signal)}.",
                f"build it with steps={len(signal)}, or use sliding-psn",
            )
        if state is not None:
            raise ShapeError(
                f"{type(self).__name__} reads a whole sequence at once; it got a state to continue from.",
                "feed the sequence in one call, or use sliding-psn",
            )
        return super().forward(x, state)

    def advance(self, x: Signal, state: State = None) -> tuple[Tensor, State]:
        """Refused: see the class."""
        raise ConfigError(f"{type(self).__name__} cannot be streamed.", "use sliding-psn, or feed the whole sequence")

    def recur(self, *arguments: Any, **keywords: Any) -> tuple[Tensor, State]:
        """Refused: its spikes are known only after the last input."""
        raise ConfigError(f"{type(self).__name__} cannot hear its own spikes; leave out the recurrence.")

    def operations(self, x: Signal, y: Tensor) -> Operations:
        """One MAC for each output and step that reaches it, and the comparison."""
        steps = len(y)
        with torch.no_grad():
            reached = int((self.support()[:steps, :steps] != 0).sum())
        return Operations(macs=reached / steps, acs=1.0).scaled(y.numel())

    def support(self) -> Tensor:
        """Where W can differ from zero, ``[T, T]``."""
        return torch.ones(self.steps, self.steps)


@register_neuron("masked-psn")
class MaskedPSN(PSN):
    """Masked PSN: a PSN whose step t sees the last ``window`` inputs only, itself included.

    The mask M is 1 where ``t - window < j <= t``. In training it can be blended in:
    ``W * (blend * M + 1 - blend)``, with ``blend`` from 0 (PSN) to 1, at which the neuron is
    causal. The weights depend on the position in the sequence, so there is no step here
    either.

    Args (as configuration):
        steps: T, the longest sequence; window: k, 1 or more.
        blend_over: the part of training, in (0, 1], over which ``blend`` goes to 1; 0 leaves it alone.

    Source: arXiv 2304.12760.
    """

    blend = Parameter(1.0, clamped(0.0, 1.0), trainable=False, doc="how far the mask is blended in, lambda")
    window = Option(16, "number of inputs that a step sees")
    blend_over = Option(0.0, "part of training over which the mask is blended in; 0 for no schedule")

    def prepare(self) -> None:
        super().prepare()
        if self.window < 1:
            raise ConfigError(f"The masked PSN needs a window of at least one step, got window={self.window}.")
        if not 0 <= self.blend_over <= 1:
            raise ConfigError(f"blend_over is a part of training, from 0 to 1; got {self.blend_over}.")
        if "blend" in self.config.trainable:
            raise ConfigError("The blend of a masked PSN follows a schedule and is not trained; call set_blend.")
        self.register_buffer("mask", torch.ones(self.steps, self.steps).tril().triu(1 - self.window), persistent=False)

    mask: Tensor

    def set_blend(self, value: float) -> None:
        """Set how far the mask is blended in, from 0 to 1; for a schedule over training."""
        clamped(0.0, 1.0).check(torch.tensor(float(value)), "MaskedPSN.blend", trainable=False)
        getattr(self, type(self).blend.key).fill_(value)

    def set_progress(self, progress: float) -> None:
        """Blend the mask in as ``blend_over`` says."""
        super().set_progress(progress)
        if self.blend_over:
            start = self.config.blend
            self.set_blend(start + (1.0 - start) * min(progress / self.blend_over, 1.0))

    def mixing(self, values: dict[str, Tensor]) -> Tensor:
        blend = values["blend"]
        return values["weight"] * (1.0 + blend * (self.mask.to(blend) - 1.0))

    def support(self) -> Tensor:
        return 1.0 + self.blend * (self.mask - 1.0)
