"""The Jacobian of one step, for any neuron: derived from the traced step, never written by hand.

A step is elementwise, so its derivatives are, too: with S states, K inputs and P coefficients they
are (1 + S) x (K + S + P) numbers a neuron, each an elementwise graph over inputs, states and
coefficients. The graphs tell as well which of them are constants of the layer, and with that
whether the memory of a synapse is the same for all neurons behind it.
"""

from __future__ import annotations

import copy
import dataclasses
import functools
from collections.abc import Sequence
from typing import Any, Literal

import torch
from torch import Tensor

from ..core.config import canonical_json, to_dict
from ..core.errors import TraceError
from ..kernels import Graph, TorchStep, TracedStep
from ..kernels.graph import Node, Operand, Ref, simplify
from ..kernels.trace import fold
from ..neurons import Neuron

Number = Tensor | float
"""An elementwise value; a float where it is the same everywhere, 0.0 where it vanishes by structure."""

Spikes = Literal["neuron", "cut"]
"""Whether the state's derivative goes through the spike as the neuron's own options say, or never."""


class StepJacobian:
    """Derivatives of ``(output, *next states) = step(*inputs, *states, *coefficients)``.

    Args:
        neuron: any with a traceable step.
        spikes: ``neuron``: the next states depend on the spike as the step says (``Reset.detach``, for
            instance, is kept). ``cut``: they take the spike for a constant. The output's own
            derivative is that of the step in both cases.
        dtype: in which constants are taken.

    Raises:
        TraceError: the neuron has no elementwise step.

    Example:
        >>> from spikeworks.neurons import LIF
        >>> one = StepJacobian(LIF(1, decay=0.8), "cut")
        >>> at = one.at([torch.ones(1)], [torch.zeros(1)], [torch.tensor(0.8), torch.tensor(1.0)])
        >>> [round(float(v), 3) for v in (at.state_state[0][0], at.state_input[0][0])]
        [0.8, 1.0]
    """

    def __init__(self, neuron: Neuron, spikes: Spikes = "neuron", dtype: torch.dtype = torch.float32) -> None:
        step = _traced(neuron, dtype)
        self.inputs, self.states, self.parameters = step.inputs, step.states, step.parameters
        self.columns = self.inputs + self.states + self.parameters
        whole = differentiated(step)
        if spikes == "cut" and self.states:
            cut = differentiated(_traced(_twin(neuron, lambda d: neuron.fire(d).detach()), dtype))
            own = tuple(range(self.columns))
            whole = _beside(whole.keep(own), cut.keep(tuple(range(self.columns, len(cut.outputs)))))
        self.graph = simplify(whole)
        """All derivatives, row by row: of the output, then of each next state, by inputs, states, coefficients."""
        self._step = step
        self._programs: dict[tuple[int, ...], Any] = {}

    def reads(self, row: int, column: int) -> frozenset[str]:
        """Names of what a derivative depends on: inputs ``x0 …``, states ``s0 …``, coefficients ``p0 …``."""
        return self.graph.keep((row * self.columns + column,)).reads()

    def at(
        self,
        inputs: Sequence[Tensor],
        states: Sequence[Tensor],
        coefficients: Sequence[Tensor],
        wanted: tuple[int, ...] = (),
    ) -> Point:
        """The derivatives, and the next states, at one point.

        Args:
            inputs, states: ``[B, N, ...]``.
            coefficients: of shapes that broadcast to them.
            wanted: indices of the coefficients whose derivatives are asked for.
        """
        k, s = self.inputs, self.states
        columns = (*range(k + s), *(k + s + p for p in wanted))
        if wanted not in self._programs:
            rows = tuple(r * self.columns + c for r in range(1 + s) for c in columns)
            both = simplify(_beside(self._step.forward.keep(tuple(range(1, 1 + s))), self.graph.keep(rows)))
            self._programs[wanted] = _compiled(both, self._step)
        found = self._programs[wanted](*inputs, *states, *coefficients)
        after, flat = found[:s], found[s:]
        table = [flat[r * len(columns) : (r + 1) * len(columns)] for r in range(1 + s)]
        blank = torch.zeros_like(inputs[0])
        return Point(
            next_states=[a if isinstance(a, Tensor) else blank + a for a in after],
            output_input=table[0][:k],
            output_state=table[0][k : k + s],
            output_parameter=table[0][k + s :],
            state_input=[row[:k] for row in table[1:]],
            state_state=[row[k : k + s] for row in table[1:]],
            state_parameter=[row[k + s :] for row in table[1:]],
        )


@dataclasses.dataclass(frozen=True)
class Point:
    """Derivatives at one point; first index: of what, second: by what."""

    next_states: list[Tensor]
    output_input: Sequence[Number]
    output_state: Sequence[Number]
    output_parameter: Sequence[Number]
    state_input: Sequence[Sequence[Number]]
    state_state: Sequence[Sequence[Number]]
    state_parameter: Sequence[Sequence[Number]]


@functools.lru_cache(maxsize=64)
def _compiled(graph: Graph, step: TracedStep) -> Any:
    return TorchStep(dataclasses.replace(step, forward=graph)).forward


def differentiated(step: TracedStep) -> Graph:
    """All derivatives of a traced step, row by row, over the inputs of its forward graph.

    The backward graph is linear in the cotangents: a row is what is left of it when one of them is
    1 and the others are 0.
    """
    names, backward = step.forward.inputs, step.backward
    known = len(names)
    nodes: list[Node] = []
    outputs: list[Operand] = []
    for row in range(1 + step.states):
        place: dict[int, Operand] = {i: Ref(i) for i in range(known)}
        place |= {known + i: float(i == row) for i in range(1 + step.states)}
        for k, node in enumerate(backward.nodes):
            args = tuple(place[a.index] if isinstance(a, Ref) else a for a in node.args)
            value = _vanishing(node.op, args)
            if value is None:
                value = fold(node.op, args)
            if value is None:
                nodes.append(Node(node.op, args))
                value = Ref(known + len(nodes) - 1)
            place[len(backward.inputs) + k] = value
        outputs += [place[o.index] if isinstance(o, Ref) else o for o in backward.outputs]
    return simplify(Graph(names, tuple(nodes), tuple(outputs)))


def _vanishing(op: str, args: tuple[Operand, ...]) -> Operand | None:
    """What a node is where an argument is the number 0; ``None`` where that says nothing."""
    zero = [isinstance(a, float) and a == 0.0 for a in args]
    if op == "mul" and any(zero):
        return 0.0
    if op in ("div", "neg") and zero[0]:
        return 0.0
    if op == "add" and any(zero):
        return args[1] if zero[0] else args[0]
    if op == "sub" and zero[1]:
        return args[0]
    if op == "where" and zero[1] and zero[2]:
        return 0.0
    return None


def _beside(first: Graph, second: Graph) -> Graph:
    """Two graphs over the same inputs as one, the outputs of the first in front."""
    n, shift = len(first.inputs), len(first.nodes)

    def moved(a: Operand) -> Operand:
        return Ref(a.index + shift) if isinstance(a, Ref) and a.index >= n else a

    nodes = (*first.nodes, *(Node(node.op, tuple(map(moved, node.args))) for node in second.nodes))
    return Graph(first.inputs, nodes, (*first.outputs, *map(moved, second.outputs)))


def _traced(neuron: Neuron, dtype: torch.dtype) -> TracedStep:
    neuron.graph(dtype)  # raises where there is no step
    step = neuron._trace(dtype)
    assert isinstance(step, TracedStep)
    return step


def _twin(neuron: Neuron, fire: Any) -> Neuron:
    """The same neuron, parameters shared, that fires in another way."""
    twin = copy.copy(neuron)  # forgets what was traced
    object.__setattr__(twin, "fire", fire)
    return twin


# -- constant memory -------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Filter:
    """What a neuron makes of its input between spikes: the same linear filter for the whole layer.

    States follow ``e[t] = A e[t-1] + b x[t]``; what the output feels of the past is
    ``psi[t] (c e[t-1] + x[t])`` with the derivative ``psi`` of the output by the input.

    Attributes:
        transition: A, ``[S, S]``; entry: b, ``[S]``; weight: c, ``[S]``.
    """

    transition: Tensor
    entry: Tensor
    weight: Tensor

    def run(self, x: Tensor, state: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Filter ``x [T, ...]`` from a state ``[S, ...]``: the past ``c e[t-1]`` at every step, and the state after."""
        size = x[0].numel()
        e = x.new_zeros(len(self.entry), size) if state is None else state.reshape(len(self.entry), size)
        rows = torch.cat([self.weight.unsqueeze(0), self.transition]).to(x.dtype)  # one product for both
        entry = self.entry.to(x.dtype).unsqueeze(1)
        past = torch.empty_like(x)
        for t, now in enumerate(x.reshape(len(x), size).unbind(0)):
            both = rows @ e
            past[t] = both[0].reshape(x.shape[1:])
            e = torch.addcmul(both[1:], entry, now)
        return past, e.reshape(len(self.entry), *x.shape[1:])


class FilterForm:
    """How a :class:`Filter` follows from the coefficients; made by :func:`filter_form`."""

    def __init__(self, states: Graph, distance: Graph, step: TracedStep) -> None:
        self._program = _compiled(simplify(_beside(states, distance)), step)
        self._states, self._known = step.states, step.inputs + step.states

    def at(self, coefficients: Sequence[Tensor]) -> Filter:
        """The filter for the coefficients of a layer; those that it reads are one number for all neurons."""
        coefficients = [c.detach() if c.dim() == 0 else c.detach().flatten()[0] for c in coefficients]
        like = coefficients[0] if coefficients else torch.zeros(())
        blank = [torch.zeros((), dtype=like.dtype, device=like.device)] * self._known
        found = self._program(*blank, *coefficients)
        s = self._states
        flat = torch.stack([v if isinstance(v, Tensor) else like.new_tensor(v) for v in found])
        table, own = flat[: s * (s + 1)].reshape(s, s + 1), flat[s * (s + 1) :]
        return Filter(transition=table[:, 1:], entry=table[:, 0], weight=own[1:] / own[0])


def jacobian_of(neuron: Neuron, spikes: Spikes = "neuron", dtype: torch.dtype = torch.float32) -> StepJacobian:
    """The :class:`StepJacobian` of a neuron; made once for all that are described alike."""
    return _once("jacobian", StepJacobian, neuron, spikes, dtype)


def filter_form(neuron: Neuron, spikes: Spikes, dtype: torch.dtype = torch.float32) -> FilterForm | str:
    """The filter that the neuron's memory of its input is, or why it is none.

    It is one where the derivatives of the next states are the same for all neurons and times, and
    the neuron fires on a weighted sum of input and states. Then one trace an input serves all
    neurons behind it (OTTT, arXiv 2210.04195; variant B of TC-LIF's online rule).
    """
    return _once("filter", _filter_form, neuron, spikes, dtype)


_MADE: dict[Any, Any] = {}
"""What was derived, by class and description of the neuron: layers of one network are mostly alike."""


def _once(kind: str, derive: Any, neuron: Neuron, spikes: Spikes, dtype: torch.dtype) -> Any:
    key = (kind, type(neuron), canonical_json(to_dict(neuron.config)), spikes, dtype)
    if key not in _MADE:
        if len(_MADE) >= 256:  # a long session with many descriptions
            _MADE.clear()
        _MADE[key] = derive(neuron, spikes, dtype)
    return _MADE[key]


def _filter_form(neuron: Neuron, spikes: Spikes, dtype: torch.dtype) -> FilterForm | str:
    who = type(neuron).__name__
    try:
        jacobian = jacobian_of(neuron, spikes, dtype)
    except TraceError as error:
        return str(error)
    if len(neuron.inputs) != 1:
        return f"{who} has {len(neuron.inputs)} inputs"
    k, s = jacobian.inputs, jacobian.states
    if not s:
        return f"{who} has no state"
    wide = {f"p{i}" for i, c in enumerate(coefficients_of(neuron)) if c.dim()}
    reads = frozenset[str]().union(*(jacobian.reads(1 + r, c) for r in range(s) for c in (0, *range(k, k + s))))
    if any(name[0] != "p" for name in reads):
        own = "" if spikes == "cut" else ", for one by a reset that is differentiated"
        return f"how {who} forgets depends on its state or input{own}"
    distance = _distance(neuron, dtype)
    if distance is None:
        return f"{who} does not fire where one sum passes a threshold"
    row = simplify(differentiated(distance).keep((0, *range(k, k + s))))
    if any(name[0] != "p" for name in row.reads()):
        return f"{who} fires on more than a weighted sum of state and input"
    if (reads | row.reads()) & wide:
        return f"the memory of {who} differs from neuron to neuron, by a parameter per channel"
    if row.outputs[0] == 0.0:
        return f"{who} answers an input in the next step alone"
    wanted = tuple((1 + r) * jacobian.columns + c for r in range(s) for c in (0, *range(k, k + s)))
    return FilterForm(jacobian.graph.keep(wanted), row, jacobian._step)


def coefficients_of(neuron: Neuron, x: Tensor | None = None) -> list[Tensor]:
    """What the step gets behind its states, flat; lined up with ``x [T, B, size, ...]`` where that is given."""
    named = neuron._coefficients() if x is None else neuron._broadcast(x)
    return [c for value in named.values() for c in (value if isinstance(value, tuple) else (value,))]


def _distance(neuron: Neuron, dtype: torch.dtype) -> TracedStep | None:
    """The step with the distance from the threshold as its output; ``None`` where no single one decides."""
    fired: list[Tensor] = []
    single: list[bool] = []

    def fire(distance: Tensor) -> Tensor:
        fired.append(distance * 1.0)  # an object of its own
        return fired[-1]

    twin = _twin(neuron, fire)
    plain = type(neuron).step

    def step(*tensors: Tensor, **coefficients: Any) -> Sequence[Tensor]:
        fired.clear()
        results = plain(twin, *tensors, **coefficients)
        single.append(len(fired) == 1 and results[0] is fired[0])
        return results

    object.__setattr__(twin, "step", step)
    traced = twin._trace(dtype)
    return traced if isinstance(traced, TracedStep) and single and all(single) else None
