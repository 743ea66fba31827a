"""What one neuron does, apart from any network: rate, impulse response, memory, phase plane.

Every function takes a neuron layer (anything called as ``y, state = neuron(x, state)`` with
named states and a ``size``) and uses the batch axis for its many conditions. Where neurons of a
layer start with different parameters, a layer of several shows their mean. T steps.
"""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import torch
from torch import Tensor

from ..core.errors import ConfigError


def rate_curve(neuron: Any, currents: Tensor, steps: int = 400) -> Tensor:
    """The f-I curve: spikes a step under constant current, after the first half has passed.

    Args:
        currents: ``[K]``, one condition each.
        steps: length of each run.

    Returns:
        ``[K]``, the mean over neurons; for outputs that are counts, their mean.
    """
    return _rates(neuron, currents, steps).mean(1)


def firing_current(neuron: Any, steps: int = 400, highest: float = 1e4) -> float | None:
    """The smallest constant current at which neurons fire, their median; ``None`` if none does.

    To a few parts in a hundred, between 1e-4 and ``highest``.
    """
    candidates = torch.logspace(-4, math.log10(highest), 400)
    fires = _rates(neuron, candidates, steps) > 0
    first = candidates[fires.int().argmax(0)][fires.any(0)]
    return first.median().item() if len(first) else None


def impulse_response(neuron: Any, amplitude: float, steps: int = 200) -> dict[str, Tensor]:
    """How each state of the first neuron answers one input at step 0, less what it does without: name to ``[T]``."""
    x = torch.zeros(steps, 2, neuron.size)
    x[0, 0] = amplitude
    traces = state_traces(neuron, x)
    return {name: (trace[:, 0] - trace[:, 1]) for name, trace in traces.items()}


def state_traces(neuron: Any, x: Tensor, state: Any = None) -> dict[str, Tensor]:
    """All states of the first neuron after every step for ``x [T, B, N]``: name to ``[T, B]``."""
    found: dict[str, list[Tensor]] = {}
    with torch.no_grad():
        for x_t in x:
            _, state = neuron.advance(_given(neuron, x_t), state)
            for name, value in zip(state._fields, state, strict=True):
                found.setdefault(name, []).append(value[:, 0])
    return {name: torch.stack(values) for name, values in found.items()}


@dataclasses.dataclass(frozen=True)
class Memory:
    """How much of an input of k steps ago the gradient still sees.

    Attributes:
        gradient: ``[T]``, root mean square over trials of the derivative of the last output's
            drive (all states, scaled to their spread) by the input k steps earlier.
        horizon: the largest k at which it is at least a hundredth of its largest value.
    """

    gradient: Tensor
    horizon: int


def memory_horizon(neuron: Any, drive: float, steps: int = 300, trials: int = 64, seed: int = 0) -> Memory:
    """Gradient of the states at the last step by the input at all earlier ones, under noisy drive.

    Args:
        drive: mean of the input, whose noise is as large; the current at which the neuron
            fires is a good choice, because resets then take part.
        steps: lags looked at.
        trials: runs that the mean is over.
    """
    noise = torch.randn(steps, trials, neuron.size, generator=torch.Generator().manual_seed(seed))
    x = (drive * (1 + noise)).requires_grad_()
    _, state = neuron(_given(neuron, x))
    total = torch.zeros(steps)
    for value in state:
        if not value.requires_grad:
            continue
        (gradient,) = torch.autograd.grad(value.sum(), x, retain_graph=True, allow_unused=True)
        if gradient is not None:
            spread = value.detach().std().clamp(min=1e-6)
            total = total + (gradient / spread).square().mean((1, 2))
    by_lag = total.sqrt().flip(0)
    largest = by_lag.max()
    seen = (by_lag >= 0.01 * largest).nonzero() if largest > 0 else torch.empty(0)
    return Memory(by_lag, int(seen.max()) if len(seen) else 0)


def phase_plane(neuron: Any, current: float, steps: int = 200) -> tuple[tuple[str, str], Tensor]:
    """A run under constant current in the plane of the first two states.

    Returns:
        Names of the two states, and the path ``[T, 2]``.

    Raises:
        ConfigError: the neuron has fewer than two states.
    """
    traces = state_traces(neuron, torch.full((steps, 1, neuron.size), current))
    if len(traces) < 2:
        raise ConfigError(f"A phase plane needs two states, this neuron has {len(traces)}.")
    (first, a), (second, b) = list(traces.items())[:2]
    return (first, second), torch.stack([a[:, 0], b[:, 0]], 1)


def _rates(neuron: Any, currents: Tensor, steps: int) -> Tensor:
    with torch.no_grad():
        y, _ = neuron(_constant(neuron, currents, steps))
    return y[steps // 2 :].mean(0)


def _constant(neuron: Any, currents: Tensor, steps: int) -> Any:
    return _given(neuron, currents.reshape(1, -1, 1).expand(steps, -1, neuron.size))


def _given(neuron: Any, x: Tensor) -> Any:
    """The same signal for every input of the neuron."""
    count = len(getattr(neuron, "inputs", ("x",)))
    return x if count == 1 else (x,) * count
