"""Triton from graphs: a fused loop over time on a GPU, forward and backward, for any traced step.

A program owns a block of neurons, one in each thread, and walks through the whole sequence with
states, parameters and their gradients in registers; only inputs, outputs and the states at chunk
borders cross the memory bus. Backward loads one chunk of steps, computes its states again from the
border in unrolled code, and walks back through them, all in registers.

A recurrence has little work between a load and its use, and few neurons make few threads, so the
time that memory takes to answer would decide. The loads of later chunks are therefore issued before
the steps of the present one: a queue in registers, as deep as the launch needs.

The arithmetic is that of the step, operation by operation, and every operation is one that Triton's
compiler and its interpreter both know: what is tested on a CPU is what runs on a GPU.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

import numpy as np
import torch

from .graph import Graph, Operand, Ref
from .trace import TracedStep
from .triton_forms import TritonForms

REGISTERS = 165
"""Words of 4 bytes that the values of a chunk may take. A thread has 255; addresses and intermediate
results need the rest (compiled for compute capability 9.0, LIF to sliding PSN use 160 to 255)."""
LONGEST_CHUNK = 16
UNDER_WAY = 1_500_000
"""Bytes of a signal that should be on their way: memory that answers after 0.7 µs and moves 4 TB/s wants
3 MB, and about half of what the kernels move is read."""


@dataclasses.dataclass(frozen=True)
class Pipeline:
    """How many steps form a chunk, and how many chunks ahead the kernels load.

    Attributes:
        chunk: steps between stored states, a power of two; the code of that many is unrolled.
        forward, backward: chunks that are loaded ahead; 0 where the sequence is one chunk.
    """

    chunk: int
    forward: int
    backward: int


def choose_pipeline(step: TracedStep, itemsize: int, steps: int, neurons: int) -> Pipeline:
    """The longest chunk whose values fit the registers, and enough loads to keep memory busy.

    Args:
        step: the traced step.
        itemsize: bytes of a number.
        steps, neurons: size of the signals, ``[steps, neurons]``.

    Example:
        LIF in float32 over 500 steps gets chunks of 16 steps.
    """
    fixed, each = _registers(step, itemsize)
    chunk, signals = LONGEST_CHUNK, step.inputs + 1
    # places inside a chunk are counted in 32 bits
    while chunk > 1 and (fixed + chunk * each > REGISTERS or chunk // 2 >= steps or chunk * neurons >= 2**31):
        chunk //= 2
    if steps <= chunk:
        return Pipeline(chunk, 0, 0)

    def ahead(streams: int, most: int) -> int:
        wanted = UNDER_WAY / (neurons * itemsize * streams)
        count = next((n for n in (16, 32) if n >= wanted), 64)  # few values, so that few forms are compiled
        return min(-(-min(count, steps - 1) // chunk), most)

    room = max(0, REGISTERS - fixed - chunk * each) // (itemsize // 4 * (chunk * signals + step.states))
    return Pipeline(chunk, ahead(step.inputs, 64 // chunk), ahead(signals, 1 + room))


def _registers(step: TracedStep, itemsize: int) -> tuple[int, int]:
    """About how many the values of backward take: at all, and for each step of a chunk."""
    words = itemsize // 4
    # a step keeps its own states, inputs and output gradient, and the chunk loaded ahead has as many of these
    each = _fresh_states(step) + 2 * (step.inputs + 1)
    return words * (3 * step.states + 2 * step.parameters + 8) + 24, words * each


def _fresh_states(step: TracedStep) -> int:
    """States that a step computes; the others are moved from an input or another state."""
    found = {o.index for o in step.forward.outputs[1:] if isinstance(o, Ref)}
    return sum(index >= len(step.forward.inputs) for index in found)


def emit_triton(step: TracedStep, dtype: torch.dtype, pipeline: Pipeline, parameter_gradients: tuple[int, ...]) -> str:
    """Source of a Python module with the kernels ``forward`` and ``backward``.

    Args:
        step: the traced step.
        dtype: float32 or float64.
        pipeline: length of chunks, and how far loads run ahead.
        parameter_gradients: indices of the parameters whose gradients are wanted.
    """
    writer = _Writer(step, dtype, pipeline, parameter_gradients)
    return _HEAD + writer.forward() + writer.backward()


_HEAD = '''\
"""Emitted by spikeworks from a traced neuron step.

x, y and their gradients gx, gy: [T, M]; rows of gy are G apart, 0 where all steps have the same gradient.
Parameters p: one number, or [M] where VECTOR. States s before the first step, e after the last, their
gradients a, and the total gradients of parameters over time: [M]. border: [ceil(T / chunk), states, M].
What may be None is zero, or not wanted. One tensor may be the input and the output of a state, a gradient
or a total. With a WINDOW above 0 no gradient passes from a step t with t % WINDOW == 0 to the states before it.
"""

import triton
import triton.language as tl
'''


class _Writer:
    def __init__(self, step: TracedStep, dtype: torch.dtype, pipeline: Pipeline, wanted: tuple[int, ...]) -> None:
        self.step, self.pipeline, self.wanted = step, pipeline, wanted
        self.single = dtype == torch.float32
        self.real = "tl.float32" if self.single else "tl.float64"
        self.x, self.s, self.p = range(step.inputs), range(step.states), range(step.parameters)
        self.constants: dict[str, str] = {}
        self.forms = TritonForms(self.single, self.constant)

    # -- the two kernels -------------------------------------------------------------------

    def forward(self) -> str:
        chunk, ahead, stored = self.pipeline.chunk, self.pipeline.forward, len(self.s)
        arguments = [f"x{k}_in" for k in self.x] + [f"p{k}_in" for k in self.p] + [f"s{k}_in" for k in self.s]
        arguments += ["y_out", *(f"e{k}_out" for k in self.s), "border_out"]
        lines = [f"x{k}_at = x{k}_in + first" for k in self.x]
        lines += [f"y_at = y_out + first - {ahead * chunk} * row"]
        lines += ["if border_out is not None:", f"    border_at = border_out + first - {ahead * stored} * row"]
        lines += [*self.parameters(), *self.given("s", self.s)]
        lines += [self.start(f"x{k}_{place}", chunk) for k in self.x for place in range(ahead)]
        # left: steps from the present chunk to the end; more than T in the first passes, which only load
        lines += [f"left = T + {ahead * chunk}", f"for _ in range(last + {ahead + 1}):"]
        loop = [f"coming = tl.where(here, left - {ahead * chunk}, 0)", "now = tl.where(here & (left <= T), left, 0)"]
        loop += self.places()
        for k in self.x:
            loop += [self.load(f"x{k}_{ahead}", f"x{k}_at"), f"x{k}_at += {chunk} * row"]
        if stored:
            loop += ["if border_out is not None:"]
            loop += [f"    tl.store(border_at + {k} * row + lane, s{k}, mask=now > 0)" for k in self.s]
            loop += [f"    border_at += {stored} * row"]
        for k in self.x:
            loop += _split(f"x{k}_0", [f"x{k}_t{j}" for j in range(chunk)])
        states, outputs = [f"s{k}" for k in self.s], []
        for j in range(chunk):
            body, (y, *after) = self.body(self.step.forward, self.names(states, j), f"v{j}_")
            loop += body + [f"s{k}_t{j} = tl.where(now > {j}, {after[k]}, {states[k]})" for k in self.s]
            states = [f"s{k}_t{j}" for k in self.s]
            outputs.append(y)
        loop += [*_join("y", outputs), self.store("y_at", "y"), f"y_at += {chunk} * row"]
        loop += [f"s{k} = {name}" for k, name in enumerate(states)]
        loop += [f"x{k}_{place} = x{k}_{place + 1}" for k in self.x for place in range(ahead)]
        lines += _indent([*loop, f"left -= {chunk}"])
        lines += [f"tl.store(e{k}_out + first + lane, s{k}, mask=here)" for k in self.s]
        return self.kernel("forward", ["T", "M"], arguments, lines)

    def backward(self) -> str:
        chunk, ahead, stored = self.pipeline.chunk, self.pipeline.backward, len(self.s)
        first_parameter = self.step.inputs + self.step.states
        transition = self.step.forward.keep(tuple(1 + k for k in self.s))
        gradient = self.step.backward.keep((*range(first_parameter), *(first_parameter + k for k in self.wanted)))
        totals = range(len(self.wanted))
        arguments = [f"x{k}_in" for k in self.x] + [f"p{k}_in" for k in self.p] + ["border_in", "gy_in"]
        arguments += [f"a{k}_in" for k in self.s] + [f"gx{k}_out" for k in self.x] + [f"a{k}_out" for k in self.s]
        arguments += [f"total{k}_in" for k in totals] + [f"total{k}_out" for k in totals]
        signals = {f"x{k}": "row" for k in self.x} | {"gy": "gap"}
        lines = ["end = tl.cast(last, tl.int64) * row", "gap = tl.cast(G, tl.int64)"]
        lines += [
            f"{name}_at = {name}_in + first + tl.cast(last, tl.int64) * {chunk} * {gap}"
            for name, gap in signals.items()
        ]
        for k in self.x:
            lines += [f"if gx{k}_out is not None:"]
            lines += [f"    gx{k}_at = gx{k}_out + first + {chunk} * end + {ahead * chunk} * row"]
        lines += [f"border_at = border_in + first + {stored} * end"]
        lines += [*self.parameters(), *self.given("a", self.s), *self.given("total", totals)]
        lines += [self.start(f"{name}_{place}", chunk) for name in signals for place in range(ahead)]
        lines += [self.start(f"s{k}_{place}") for k in self.s for place in range(ahead)]
        # left: steps from the chunk that is loaded to the end; more than T in the last passes, which load none
        lines += [f"left = T - last * {chunk}", f"for _ in range(last + {ahead + 1}):"]
        loop = ["coming = tl.where(here & (left <= T), left, 0)", f"now = tl.where(here, left - {ahead * chunk}, 0)"]
        loop += [*self.places(), *self.places("gy_places", "G")]
        for name, gap in signals.items():
            places = "places" if gap == "row" else "gy_places"
            loop += [self.load(f"{name}_{ahead}", f"{name}_at", places), f"{name}_at -= {chunk} * {gap}"]
        loop += [f"s{k}_{ahead} = tl.load(border_at + {k} * row + lane, mask=coming > 0)" for k in self.s]
        loop += [f"border_at -= {stored} * row"]
        for name in signals:
            loop += _split(f"{name}_0", [f"{name}_t{j}" for j in range(chunk)])
        states = [[f"s{k}_0" for k in self.s]]
        for j in range(chunk - 1):
            body, after = self.body(transition, self.names(states[j], j), f"r{j}_")
            loop += body
            states.append(after)
        adjoint, sums = [f"a{k}" for k in self.s], [f"total{k}" for k in totals]
        outputs: list[list[str]] = [[] for _ in self.x]
        for j in reversed(range(chunk)):
            names = self.names(states[j], j) | {"g_y": f"gy_t{j}"} | {f"g_s{k}": name for k, name in enumerate(adjoint)}
            body, found = self.body(gradient, names, f"v{j}_")
            after, added = found[len(self.x) : first_parameter], found[first_parameter:]
            loop += body + self.cut(after, j)
            after = [f"b{k}_t{j}" for k in self.s]
            loop += [f"a{k}_t{j} = tl.where(now > {j}, {after[k]}, {adjoint[k]})" for k in self.s]
            loop += [f"total{k}_t{j} = {sums[k]} + tl.where(now > {j}, {added[k]}, zero)" for k in totals]
            adjoint, sums = [f"a{k}_t{j}" for k in self.s], [f"total{k}_t{j}" for k in totals]
            for k in self.x:
                outputs[k].insert(0, found[k])
        for k in self.x:
            write = [*_join(f"gx{k}", outputs[k]), self.store(f"gx{k}_at", f"gx{k}"), f"gx{k}_at -= {chunk} * row"]
            loop += [f"if gx{k}_out is not None:", *_indent(write)]
        loop += [f"a{k} = {name}" for k, name in enumerate(adjoint)]
        loop += [f"total{k} = {name}" for k, name in enumerate(sums)]
        queues = [*signals, *(f"s{k}" for k in self.s)]
        loop += [f"{name}_{place} = {name}_{place + 1}" for name in queues for place in range(ahead)]
        lines += _indent([*loop, f"left += {chunk}"])
        for k in self.s:
            lines += [f"if a{k}_out is not None:", f"    tl.store(a{k}_out + first + lane, a{k}, mask=here)"]
        lines += [f"tl.store(total{k}_out + first + lane, total{k}, mask=here)" for k in totals]
        return self.kernel("backward", ["T", "M", "G"], arguments, lines, ["WINDOW"])

    # -- pieces ----------------------------------------------------------------------------

    def cut(self, gradients: list[str], j: int) -> list[str]:
        """Gradients of the states before step ``j`` of the chunk, as ``b``: none where a window begins."""
        if not gradients:
            return []
        lines = [f"b{k}_t{j} = {name}" for k, name in enumerate(gradients)]
        step = f"T - left + {self.pipeline.backward * self.pipeline.chunk + j}"
        begins = [f"b{k}_t{j} = tl.where(({step}) % WINDOW == 0, zero, b{k}_t{j})" for k in self.s]
        return [*lines, "if WINDOW:", *_indent(begins)]

    def kernel(
        self, name: str, sizes: list[str], arguments: list[str], body: list[str], more: Sequence[str] = ()
    ) -> str:
        """The function around ``body``, which was written first and has collected the constants."""
        flags = [f"{name}: tl.constexpr" for name in (*(f"VECTOR{k}" for k in self.p), *more)]
        lines = ["first = tl.program_id(0).to(tl.int64) * BLOCK", "lane = tl.arange(0, BLOCK)"]
        lines += ["here = first + lane < M", "row = tl.cast(M, tl.int64)", f"last = (T - 1) // {self.pipeline.chunk}"]
        for text, constant in ({"0.0": "zero", "1.0": "one"} | self.constants).items():
            kind = "tl.int1" if text in ("True", "False") else self.real
            lines += [f"{constant} = tl.full([BLOCK], {text}, {kind})"]
        self.constants = {}
        return "\n".join([
            f"\n\n@triton.jit(do_not_specialize={sizes})",  # one compiled form for all sizes
            f"def {name}({', '.join([*sizes, *arguments, *flags, 'BLOCK: tl.constexpr'])}):",
            *_indent(lines + body),
            "",
        ])  # fmt: skip

    def parameters(self) -> list[str]:
        lines = []
        for k in self.p:
            lines += [f"if VECTOR{k}:", f"    p{k} = tl.load(p{k}_in + first + lane, mask=here)"]
            lines += ["else:", f"    p{k} = tl.full([BLOCK], tl.load(p{k}_in), {self.real})"]
        return lines

    def given(self, name: str, indices: range) -> list[str]:
        """What values in the loop start from: memory, or zero where there is none."""
        lines = []
        for k in indices:
            lines += [f"if {name}{k}_in is not None:"]
            lines += [f"    {name}{k} = tl.load({name}{k}_in + first + lane, mask=here)"]
            lines += ["else:", f"    {self.start(f'{name}{k}')}"]
        return lines

    def start(self, name: str, chunk: int = 1) -> str:
        """Zero before the first pass of the loop.

        A tensor of its own for each variable: Triton takes a variable to change in a loop only
        where it ends as another tensor, and would miss two that swap one and the same zero.
        """
        return f"{name} = tl.full({'[BLOCK]' if chunk == 1 else f'[BLOCK, {chunk}]'}, 0.0, {self.real})"

    def places(self, name: str = "places", gap: str = "M") -> list[str]:
        """Where the values of a chunk lie, seen from its first row; rows are ``gap`` apart."""
        if self.pipeline.chunk == 1:
            return [f"{name} = lane"]
        # left >> 31 is 0, but no compiler knows: it would keep one long address a row through the whole loop
        step = [f"step = tl.arange(0, {self.pipeline.chunk})[None, :]"] if gap == "M" else []
        return [*step, f"{name} = lane[:, None] + step * ({gap} + (left >> 31))"]

    def load(self, name: str, row: str, places: str = "places") -> str:
        return f"{name} = tl.load({row} + {places}, mask={self.valid('coming')})"

    def store(self, row: str, name: str) -> str:
        return f"tl.store({row} + places, {name}, mask={self.valid('now')})"

    def valid(self, count: str) -> str:
        return f"{count} > 0" if self.pipeline.chunk == 1 else f"{count}[:, None] > step"

    def names(self, states: list[str], j: int) -> dict[str, str]:
        """Variables that hold the inputs of a graph in step ``j`` of the chunk."""
        found = {f"s{k}": name for k, name in enumerate(states)} | {f"x{k}": f"x{k}_t{j}" for k in self.x}
        return found | {f"p{k}": f"p{k}" for k in self.p}

    def body(self, graph: Graph, names: dict[str, str], prefix: str) -> tuple[list[str], list[str]]:
        """Statements that evaluate ``graph``, and the names of its outputs."""
        n = len(graph.inputs)

        def name(value: Operand) -> str:
            if not isinstance(value, Ref):
                return self.constant(value)
            return names[graph.inputs[value.index]] if value.index < n else f"{prefix}{value.index - n}"

        lines: list[str] = []
        for k, node in enumerate(graph.nodes):
            lines += self.forms.statements(node.op, f"{prefix}{k}", [name(a) for a in node.args])
        return lines, [name(o) for o in graph.outputs]

    def constant(self, value: float | bool) -> str:
        """Name of a constant, which is exact in the kernel's dtype: Triton would choose by its size."""
        if isinstance(value, bool):
            text = str(value)
        elif math.isfinite(value):
            text = repr(float(np.float32(value)) if self.single else float(value))
        else:
            text = f'float("{value}")'
        if text in ("0.0", "1.0"):
            return "zero" if text == "0.0" else "one"
        return self.constants.setdefault(text, f"c{len(self.constants)}")


def _indent(lines: list[str]) -> list[str]:
    return [f"    {line}" for line in lines]


def _split(block: str, names: list[str]) -> list[str]:
    """A chunk as one tensor a step: halved again and again, even steps and odd ones."""
    if len(names) == 1:
        return [f"{names[0]} = {block}"]
    if len(names) == 2:
        return [f"{names[0]}, {names[1]} = tl.split({block})"]
    halves = f"{block}e, {block}o = tl.split(tl.reshape({block}, [BLOCK, {len(names) // 2}, 2]))"
    return [halves, *_split(f"{block}e", names[0::2]), *_split(f"{block}o", names[1::2])]


def _join(block: str, names: list[str]) -> list[str]:
    """The reverse of :func:`_split`."""
    if len(names) == 1:
        return [f"{block} = {names[0]}"]
    if len(names) == 2:
        return [f"{block} = tl.join({names[0]}, {names[1]})"]
    halves = _join(f"{block}e", names[0::2]) + _join(f"{block}o", names[1::2])
    return [*halves, f"{block} = tl.reshape(tl.join({block}e, {block}o), [BLOCK, {len(names)}])"]
