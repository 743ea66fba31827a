"""Eligibility traces: derivatives of a neuron's states by what shaped them, run forward in time.

``E[t] = J[t] E[t-1] + F[t]`` with the step's Jacobian J by the states and its direct derivative F
by the parameter; the output then feels of all earlier steps ``D[t] E[t-1]``, D being its derivative
by the states. Nothing here knows a neuron: the numbers come from :mod:`~spikeworks.learning.jacobian`.
Source: e-prop (Bellec et al., Nature Communications 11, 3625, 2020), OSTL (arXiv 2007.12723).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from .jacobian import Number, Point


class Eligibility:
    """Traces of one parameter: for each state ``[B, N, ...]``, or ``[B, N, ..., I]`` for the weights of I inputs.

    A weight's trace is kept as ``[B, 1, I]`` as long as all numbers are the same for all neurons.

    Args:
        states: how many the neuron has.
        inner: number of axes that the trace has behind those of the neurons: 1 for weights, else 0.
    """

    def __init__(self, states: int, inner: int = 0) -> None:
        self.values: list[Tensor | None] = [None] * states
        self.inner = inner

    def past(self, weights: Sequence[Number], more: Tensor | None = None) -> Tensor | None:
        """The weighted sum over the states, and ``more``; ``None`` where nothing is felt."""
        total = more
        for weight, value in zip(weights, self.values, strict=True):
            if value is None or (isinstance(weight, float) and weight == 0.0):
                continue
            if isinstance(weight, Tensor):
                wide = widened(weight, self.inner)
                total = wide * value if total is None else torch.addcmul(total, wide, value)
            else:
                total = weight * value if total is None else torch.add(total, value, alpha=weight)
        return total

    def advance(self, transition: Sequence[Sequence[Number]], source: Sequence[Tensor | None]) -> None:
        """One step: ``E <- J E + F``."""
        self.values = [self.past(row, new) for row, new in zip(transition, source, strict=True)]


def widened(number: Tensor, inner: int) -> Tensor:
    """A coefficient ``[]``, or a value ``[B, N, ...]``, with ``inner`` axes of one behind it."""
    return number if number.dim() == 0 else number.reshape(*number.shape, *(1,) * inner)


def outer(number: Number, pre: Tensor) -> Tensor | None:
    """Derivative of a state by the weights, from that by the current and the input ``pre [B, I]``."""
    if isinstance(number, Tensor):
        return widened(number, 1) * pre.unsqueeze(1)
    return None if number == 0.0 else number * pre.unsqueeze(1)


def placed(number: Number, like: Tensor) -> Tensor | None:
    """A derivative as a tensor that broadcasts to the neurons; ``None`` where it vanishes."""
    if isinstance(number, Tensor):
        return number
    return None if number == 0.0 else torch.full((), number, dtype=like.dtype, device=like.device)


def weight_gradient(signal: Tensor, felt: Tensor | None) -> Tensor | None:
    """Sum over the batch of ``signal [B, N]`` times what the output feels, ``[B, N or 1, I]``."""
    if felt is None:
        return None
    if felt.shape[1] == 1:
        return signal.t() @ felt.squeeze(1)
    return torch.einsum("bn,bni->ni", signal, felt)


class Bundle:
    """The traces of one layer of neurons: of weights, bias, coefficients and resting states.

    Args:
        states: how many the neuron has.
        weights: for each input of the neuron that has a linear synapse with traces, its index.
        recurrent: through how many of the inputs, the first ones, the neurons hear their own last output.
        bias: indices of the inputs to which a bias is added.
        wanted: indices of the coefficients that learn.
        rest: whether the resting state learns.
    """

    def __init__(
        self,
        states: int,
        *,
        weights: Sequence[int] = (),
        recurrent: int = 0,
        bias: Sequence[int] = (),
        wanted: Sequence[int] = (),
        rest: bool = False,
    ) -> None:
        self.traces: dict[tuple[str, int], Eligibility] = {}
        for i in weights:
            self.traces["weight", i] = Eligibility(states, 1)
        for i in range(recurrent):
            self.traces["recurrent", i] = Eligibility(states, 1)
        for i in bias:
            self.traces["bias", i] = Eligibility(states)
        for i in wanted:
            self.traces["parameter", i] = Eligibility(states)
        for i in range(states if rest else 0):
            self.traces["rest", i] = Eligibility(states)
        self._place = {p: i for i, p in enumerate(wanted)}

    def start(self, like: Tensor) -> None:
        """Before the first step: nothing is felt but the resting states themselves."""
        for (kind, i), trace in self.traces.items():
            trace.values = [None] * len(trace.values)
            if kind == "rest":
                trace.values[i] = torch.ones_like(like)

    def past(self, point: Point) -> dict[tuple[str, int], Tensor | None]:
        """What the output feels of earlier steps."""
        return {key: trace.past(point.output_state) for key, trace in self.traces.items()}

    def now(self, point: Point, pre: Tensor | None, last: Tensor | None) -> dict[tuple[str, int], Tensor | None]:
        """What the output feels of this step, for those that want the whole derivative."""
        return {key: self._direct(key, 0, point, pre, last) for key in self.traces}

    def advance(self, point: Point, pre: Tensor | None, last: Tensor | None) -> None:
        """Take the step in: ``pre [B, I]`` is the input of the weights, ``last [B, N]`` of recurrent ones."""
        rows = range(len(point.state_state))
        for key, trace in self.traces.items():
            source = [self._direct(key, 1 + r, point, pre, last) for r in rows]
            trace.advance(point.state_state, source)

    def _direct(
        self, key: tuple[str, int], row: int, point: Point, pre: Tensor | None, last: Tensor | None
    ) -> Tensor | None:
        """Derivative of the output (row 0) or a next state by a parameter, the states before being fixed."""
        kind, i = key
        if kind == "rest":
            return None
        if kind == "parameter":
            found = point.output_parameter if row == 0 else point.state_parameter[row - 1]
            return placed(found[self._place[i]], point.next_states[0])
        by_input = point.output_input if row == 0 else point.state_input[row - 1]
        if kind == "bias":
            return placed(by_input[i], point.next_states[0])
        source = pre if kind == "weight" else last
        assert source is not None  # whoever asked for these traces gives what they are of
        return outer(by_input[i], source)
