"""A network as a list of operations on named buffers: the form between modules and C.

A :class:`Program` computes one time step. Buffers hold the input, the answer, states that live from step to step and
scratch that does not; operations read and write :class:`Part` of them, in order. Inside a :class:`Loop` over units
that share weights a part moves on by its stride, so that every unit has its own states.
"""

from __future__ import annotations

import dataclasses
from typing import Literal

import torch
from torch import Tensor

from ...core.operations import Operations
from ...kernels import Graph

Kind = Literal["real", "spike", "sum", "count"]
"""Floating point; a byte that is 0 or 1; int32, for sums of whole numbers; uint32."""
Life = Literal["input", "output", "state", "scratch"]
Rule = Literal["sum", "mean"]


@dataclasses.dataclass(frozen=True, eq=False)
class Buffer:
    """An array.

    Attributes:
        name: unique in the program, an identifier of C.
        size: elements, of all units together.
        initial: of a state: one value, or ``[n]`` with ``size`` a multiple of n, repeated for each unit.
    """

    name: str
    size: int
    kind: Kind = "real"
    life: Life = "scratch"
    initial: float | Tensor = 0.0

    @property
    def whole(self) -> Part:
        """All of it."""
        return Part(self, 0, self.size)


@dataclasses.dataclass(frozen=True)
class Part:
    """``size`` elements of a buffer from ``start + unit * stride`` on."""

    buffer: Buffer
    start: int
    size: int
    stride: int = 0

    def slice(self, start: int, size: int) -> Part:
        """``size`` elements from ``start`` on, of each unit."""
        return dataclasses.replace(self, start=self.start + start, size=size)

    @property
    def kind(self) -> Kind:
        """That of the buffer."""
        return self.buffer.kind


@dataclasses.dataclass(frozen=True)
class Work:
    """Arithmetic of one step: what is always done, and what is done in addition if every neuron that may fire does."""

    always: Operations = Operations()
    driven: Operations = Operations()

    def __add__(self, other: Work) -> Work:
        return Work(self.always + other.always, self.driven + other.driven)

    def scaled(self, factor: float) -> Work:
        """Of so many units."""
        return Work(self.always.scaled(factor), self.driven.scaled(factor))

    def at(self, rate: float) -> Operations:
        """The operations of a step in which that share of the neurons fires."""
        return self.always + self.driven.scaled(rate)


@dataclasses.dataclass(frozen=True, eq=False)
class Dense:
    """``target = bias + weight source``, or ``target += ...``; the columns of sources that are 0 are skipped.

    Attributes:
        weight: ``[target.size, source.size]``; whole numbers where ``scale`` is given.
        bias: ``[target.size]`` or none.
        scale: of int8 weights, ``[target.size]``: what one unit of a row stands for.
        sums: scratch for the sums of int8 weights.
    """

    source: Part
    target: Part
    weight: Tensor
    bias: Tensor | None
    name: str
    accumulate: bool = False
    scale: Tensor | None = None
    sums: Part | None = None

    @property
    def work(self) -> Work:
        count = float(self.weight.numel())
        scaling = Operations(macs=float(len(self.weight)) if self.scale is not None else 0.0)
        if self.source.kind == "spike":
            return Work(scaling, Operations(acs=count, weight_reads=count))
        return Work(Operations(macs=count, weight_reads=count) + scaling)


@dataclasses.dataclass(frozen=True, eq=False)
class DelayedDense:
    """``target = bias + sum of weight times source, each delayed``: what arrives later waits in a ring of sums.

    Attributes:
        weight, delays: ``[target.size, source.size, taps]``, delays in steps.
        ring: ``[longest delay + 1, target.size]``, flat.
        place: the row of the ring that is due.
    """

    source: Part
    target: Part
    ring: Part
    place: Part
    weight: Tensor
    delays: Tensor
    bias: Tensor | None
    name: str

    @property
    def slots(self) -> int:
        """Steps that the ring holds."""
        return self.ring.size // self.target.size

    @property
    def work(self) -> Work:
        count, moved = float(self.weight.numel()), 2.0 * self.target.size
        traffic = Operations(state_reads=moved / 2, state_writes=moved)
        each = Operations(weight_reads=count, state_reads=count, state_writes=count)
        if self.source.kind == "spike":
            return Work(traffic, dataclasses.replace(each, acs=count))
        return Work(traffic + dataclasses.replace(each, macs=count))


@dataclasses.dataclass(frozen=True, eq=False)
class Affine:
    """``target = scale * target + shift``, by tables ``[n]``, or ``[steps, n]`` of which the clock chooses the row."""

    target: Part
    scale: Tensor
    shift: Tensor | None
    name: str

    @property
    def work(self) -> Work:
        return Work(Operations(macs=self.target.size, weight_reads=self.target.size * (1 + (self.shift is not None))))


@dataclasses.dataclass(frozen=True, eq=False)
class LayerNorm:
    """``target = (source - mean) / sqrt(variance + epsilon) * weight + bias`` over the elements of one unit."""

    source: Part
    target: Part
    weight: Tensor
    bias: Tensor
    epsilon: float
    name: str

    @property
    def work(self) -> Work:
        return Work(Operations(macs=3.0 * self.target.size, specials=1.0))


@dataclasses.dataclass(frozen=True, eq=False)
class Neurons:
    """One step of a layer of neurons: the traced graph for each of them.

    Attributes:
        source: currents, those of the first input of all neurons, then those of the next.
        target: the output.
        graph: inputs ``x0 ...``, ``s0 ...``, ``p0 ...``; outputs the result and the next states that ``states`` hold.
        states: by the name of the graph's input.
        parameters: by name; one number, or ``[n]``.
        tables: inputs that depend on the step, by name, ``[steps, n]``.
    """

    source: Part
    target: Part
    graph: Graph
    states: dict[str, Part]
    parameters: dict[str, Tensor]
    tables: dict[str, Tensor]
    name: str

    @property
    def work(self) -> Work:
        held = float(len(self.states))
        each = self.graph.operations() + Operations(state_reads=held, state_writes=held)
        return Work(each.scaled(self.target.size))


@dataclasses.dataclass(frozen=True, eq=False)
class Accumulate:
    """``total = decay * total + source``; ``target`` is the total, or with ``mean`` the total over the steps so far."""

    source: Part
    total: Part
    target: Part
    rule: Rule
    decay: float = 1.0

    @property
    def work(self) -> Work:
        n = float(self.target.size)
        decayed = Operations(macs=n) if self.decay != 1.0 else Operations(acs=n)
        return Work(decayed + Operations(state_reads=n, state_writes=n, specials=n if self.rule == "mean" else 0.0))


@dataclasses.dataclass(frozen=True, eq=False)
class _ByTable:
    """Values moved by a table.

    Attributes:
        index: whole numbers ``[n]``, or ``[units, n]`` with one row a unit of the loop around it.
    """

    source: Part
    target: Part
    index: Tensor
    name: str
    work: Work = Work()


class Gather(_ByTable):
    """``target[i] = source[index[i]]``: unfolding, tiling and padding by reflection are tables."""


class Place(_ByTable):
    """``target[index[i]] = source[i]``; an index below 0 leaves the value out."""


@dataclasses.dataclass(frozen=True, eq=False)
class Copy:
    """``target = source``, of one size and kind."""

    source: Part
    target: Part
    work: Work = Work()


@dataclasses.dataclass(frozen=True, eq=False)
class Fill:
    """``target = value`` everywhere."""

    target: Part
    value: float = 0.0
    work: Work = Work()


@dataclasses.dataclass(frozen=True, eq=False)
class Loop:
    """The operations of ``body``, once for each of ``units`` that share their weights."""

    units: int
    body: tuple[Operation, ...]

    @property
    def work(self) -> Work:
        return sum((operation.work for operation in self.body), Work()).scaled(self.units)


Operation = (
    Dense | DelayedDense | Affine | LayerNorm | Neurons | Accumulate | Gather | Place | Copy | Fill | Loop
)  # fmt: skip


@dataclasses.dataclass(frozen=True, eq=False)
class Program:
    """One time step of a network.

    Attributes:
        input, output: what the caller hands over and gets back.
        operations: in order.
        clock: the number of steps since rest, where something reads it, and steps that it may count to.
        dtype: of the numbers, float32 or float64.
    """

    input: Buffer
    output: Buffer
    operations: tuple[Operation, ...]
    clock: Buffer | None
    longest: int | None
    dtype: torch.dtype

    @property
    def buffers(self) -> tuple[Buffer, ...]:
        """All that occur, in the order in which they do."""
        found = dict.fromkeys(part.buffer for operation in self.operations for part in touched(operation))
        clock = () if self.clock is None else (self.clock,)
        return (*found, *clock)

    @property
    def work(self) -> Work:
        """Of one step."""
        return sum((operation.work for operation in self.operations), Work())


def touched(operation: Operation) -> list[Part]:
    """All parts that an operation reads or writes, those of a loop included."""
    if isinstance(operation, Loop):
        return [part for inner in operation.body for part in touched(inner)]
    found: list[Part] = []
    for field in dataclasses.fields(operation):
        value = getattr(operation, field.name)
        held = list(value.values()) if isinstance(value, dict) else [value]
        found += [one for one in held if isinstance(one, Part)]
    return found
