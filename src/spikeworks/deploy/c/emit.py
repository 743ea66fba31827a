"""Programs as C99: a source, a header and the tables of weights."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping

import torch

from ...kernels.c_prelude import c_exponential
from ...kernels.c_statements import Statements
from .helpers import HELPERS
from .memory import SCRATCH, Layout, arrange
from .program import (
    Accumulate,
    Affine,
    Copy,
    DelayedDense,
    Dense,
    Fill,
    Gather,
    Kind,
    LayerNorm,
    Loop,
    Neurons,
    Operation,
    Part,
    Place,
    Program,
)
from .tables import Tables

TYPES: dict[Kind, str] = {"real": "real", "spike": "uint8_t", "sum": "int32_t", "count": "uint32_t"}


@dataclasses.dataclass(frozen=True)
class Sources:
    """What was emitted.

    Attributes:
        name: prefix of everything that is seen from outside.
        header, source, weights: texts of ``NAME.h``, ``NAME.c`` and ``NAME_weights.h``, which the source includes.
        weight_bytes: of all constant arrays.
        layout: of the struct.
    """

    name: str
    header: str
    source: str
    weights: str
    weight_bytes: int
    layout: Layout


def emit(program: Program, name: str) -> Sources:
    """The texts for a program; ``name`` is an identifier of C."""
    return Emitter(program, name).sources()


class Emitter:
    """Writes a program for a device: weights are constants of the source, helpers as small as they can be.

    Attributes:
        helpers: the functions that the text may call, by name.
        given, passed: what every function is given, and passes on, beside what it works on.
        apart: qualifier of the arrays that a function of neurons writes to.
    """

    helpers: Mapping[str, str] = HELPERS
    given: tuple[str, ...] = ()
    passed: tuple[str, ...] = ()
    apart = ""

    def __init__(self, program: Program, name: str) -> None:
        self.program, self.name = program, name
        self.layout = arrange(program)
        self.tables = self.constants()
        self.statements = Statements(program.dtype)
        self.functions: list[str] = []

    def constants(self) -> Tables:
        """Where weights and tables go."""
        return Tables(self.program.dtype)

    # -- texts -----------------------------------------------------------------------------

    def code(self) -> str:
        """The functions: helpers, those of neurons and delays, reset and step."""
        reset = self.reset()
        body = [line for operation in self.program.operations for line in self.operation(operation)]
        step = self.step(body)
        code = "\n".join([*self.functions, reset, step])
        return "\n".join([*_needed(code, self.helpers, self.program.dtype), code])

    def sources(self) -> Sources:
        """All files."""
        code = self.code()
        weights = "\n\n".join([f"/* Weights of {self.name}; included by {self.name}.c alone. */"] + [
            table.text() for table in self.tables.found.values()
        ]) + "\n"  # fmt: skip
        head = (
            f"/* Emitted by spikeworks; build with -std=c99 (or -ffp-contract=off) and the library m. */\n"
            f'#include "{self.name}.h"\n\n#include <math.h>\n\ntypedef {self.name}_real real;\n'
            f"typedef int32_t truth;\n\n"
            f'#include "{self.name}_weights.h"\n'
        )
        return Sources(self.name, self.header(), head + code, weights, self.tables.nbytes, self.layout)

    def header(self) -> str:
        upper = self.name.upper()
        longest = self.program.longest
        limit = "" if longest is None else f" The network was trained for sequences of up to {longest} steps."
        return f"""/* Emitted by spikeworks. A network that is fed one step at a time. No heap, no input or output. */
#ifndef {upper}_H
#define {upper}_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {{
#endif

#define {upper}_INPUTS {self.program.input.size}
#define {upper}_OUTPUTS {self.program.output.size}

{self.real()}

/* All that the network remembers, and what a step needs for itself: {self.layout.struct_bytes} bytes. One for each
   stream; what lies inside is no business of the caller. */
{self.struct()}

/* The state before the first step. Call it before anything else, and to start a new sequence. */
void {self.name}_reset({self.name}_state *state);

/* One step: reads {self.program.input.size} numbers and writes {self.program.output.size}, the answer after this step.
   Returns 0; 1, with nothing changed, where the sequence is longer than the network's tables.{limit} */
int {self.name}_step({self.name}_state *state, const {self.name}_real *input, {self.name}_real *output);

#ifdef __cplusplus
}}
#endif

#endif
"""

    def real(self) -> str:
        """The type of numbers."""
        return f"typedef {'float' if self.program.dtype == torch.float32 else 'double'} {self.name}_real;"

    def struct(self) -> str:
        """The type of the state."""
        kinds = {**TYPES, "real": f"{self.name}_real"}
        members = "\n".join(f"    {kinds[kind]} {member}[{size}];" for kind, member, size in self.layout.members)
        return f"typedef struct {{\n{members}\n}} {self.name}_state;"

    def reset(self) -> str:
        lines = []
        for buffer in self.layout.states:
            place = f"state->{buffer.name}"
            if isinstance(buffer.initial, float | int):
                whole = buffer.kind != "real" or buffer.initial == 0
                value = str(int(buffer.initial)) if whole else self.statements.number(buffer.initial)
                lines.append(f"for (uint32_t i = 0; i < {buffer.size}; ++i) {place}[i] = {value};")
                continue
            table = self.tables.reals(f"{buffer.name}_rest", buffer.initial)
            length = buffer.initial.numel()
            index = "i" if length == buffer.size else f"i % {length}"
            cast = "" if buffer.kind == "real" else f"({TYPES[buffer.kind]})"
            lines.append(f"for (uint32_t i = 0; i < {buffer.size}; ++i) {place}[i] = {cast}{table}[{index}];")
        lines = lines or ["(void)state;"]
        given = ", ".join([f"{self.name}_state *state", *self.given])
        return f"\nvoid {self.name}_reset({given})\n{{\n" + _indented(lines) + "\n}"

    def step(self, body: list[str]) -> str:
        clock = self.program.clock
        before, after = [], []
        if clock is not None:
            place = f"state->{clock.name}[0]"
            if self.program.longest is not None:
                before.append(f"if ({place} >= {self.program.longest}u) return 1;")
            before.append(f"const uint32_t step = {place};")
            after.append(f"if (step != UINT32_MAX) {place} = step + 1;")
            if not any(re.search(r"\bstep\b", line) for line in body):
                before, after = before[:-1], [f"if ({place} != UINT32_MAX) ++{place};"]
        given = [f"{self.name}_state *state", "const real *input", "real *output", *self.given]
        signature = f"int {self.name}_step({', '.join(given)})"
        return f"\n{signature}\n{{\n" + _indented([*before, *body, *after, "return 0;"]) + "\n}\n"

    # -- operations ------------------------------------------------------------------------

    def at(self, part: Part) -> str:
        """A pointer to the first element of a part."""
        buffer = part.buffer
        if buffer.life in ("input", "output"):
            place, start = buffer.life, part.start
        elif buffer.life == "state":
            place, start = f"state->{buffer.name}", part.start
        else:
            place, start = f"state->{SCRATCH[buffer.kind]}", part.start + self.layout.offsets[buffer]
        place += f" + {start}" if start else ""
        return place + (f" + unit * {part.stride}" if part.stride else "")

    def item(self, part: Part) -> str:
        """Element ``i`` of a part."""
        place = self.at(part)
        return f"({place})[i]" if " " in place else f"{place}[i]"

    def operation(self, operation: Operation) -> list[str]:
        """Statements."""
        return getattr(self, f"_{type(operation).__name__.lower()}")(operation)

    def _dense(self, op: Dense) -> list[str]:
        n, m, target = op.target.size, op.source.size, self.at(op.target)
        lines = []
        if op.bias is not None:
            bias = self.tables.reals(f"{op.name}_bias", op.bias)
            lines.append(f"{'add' if op.accumulate else 'copy_real'}({target}, {bias}, {n});")
        elif not op.accumulate:
            lines.append(f"fill({target}, 0, {n});")
        columns = op.weight.t()
        kind = "spikes" if op.source.kind == "spike" else "reals"
        if op.scale is None or op.sums is None:
            weight = self.tables.reals(f"{op.name}_weight", columns)
            lines.append(f"add_columns_{kind}({target}, {weight}, {self.at(op.source)}, {m}, {n});")
            return lines
        weight = self.tables.bytes(f"{op.name}_weight", columns)
        scale, sums = self.tables.reals(f"{op.name}_scale", op.scale), self.at(op.sums)
        lines.append(f"sum_columns_{kind}({sums}, {weight}, {self.at(op.source)}, {m}, {n});")
        lines.append(f"add_scaled_{'sums' if kind == 'spikes' else 'reals'}({target}, {sums}, {scale}, {n});")
        return lines

    def _delayeddense(self, op: DelayedDense) -> list[str]:
        n, m, target = op.target.size, op.source.size, self.at(op.target)
        taps = op.weight.shape[-1]
        weight = self.tables.reals(f"{op.name}_weight", op.weight.movedim(1, 0))
        kind, delays = self.tables.places(f"{op.name}_delays", op.delays.movedim(1, 0))
        ring, place = self.at(op.ring), self.at(op.place)
        given = ["real *ring", "uint32_t now", f"const {TYPES[op.source.kind]} *source", *self.given]
        heard = "weight" if op.source.kind == "spike" else "x * weight"
        self.functions.append(f"""
static void {op.name}_deliver({", ".join(given)})
{{
    const real *weight = {weight};
    const {kind} *delay = {delays};
    for (uint32_t i = 0; i < {m}; ++i) {{
        const real x = source[i];
        for (uint32_t o = 0; o < {n} && x != 0; ++o)
            for (uint32_t k = 0; k < {taps}; ++k) {{
                const uint32_t at = (i * {n} + o) * {taps} + k, due = now + delay[at];
                ring[(due < {op.slots} ? due : due - {op.slots}) * {n} + o] += {heard}[at];
            }}
    }}
}}""")
        lines = [f"{op.name}_deliver({', '.join([ring, f'*({place})', self.at(op.source), *self.passed])});"]
        lines.append(f"take_row({target}, {ring} + *({place}) * {n}, {n});")
        if op.bias is not None:
            lines.append(f"add({target}, {self.tables.reals(f'{op.name}_bias', op.bias)}, {n});")
        lines.append(f"*({place}) = *({place}) + 1 < {op.slots} ? *({place}) + 1 : 0;")
        return lines

    def _affine(self, op: Affine) -> list[str]:
        n, target = op.target.size, self.item(op.target)

        def element(values: torch.Tensor, name: str) -> str:
            table = self.tables.reals(name, values)
            width = values.shape[-1]
            row = f"step * {width} + " if values.dim() == 2 else ""
            return f"{table}[{row}{'i' if width > 1 or n == 1 else 0}]"

        shift = "" if op.shift is None else f" + {element(op.shift, f'{op.name}_shift')}"
        scale = element(op.scale, f"{op.name}_scale")
        return [f"for (uint32_t i = 0; i < {n}; ++i) {target} = {target} * {scale}{shift};"]

    def _layernorm(self, op: LayerNorm) -> list[str]:
        weight = self.tables.reals(f"{op.name}_weight", op.weight)
        bias = self.tables.reals(f"{op.name}_bias", op.bias)
        epsilon = self.statements.number(op.epsilon)
        suffix = "spikes" if op.source.kind == "spike" else "reals"
        arguments = f"{self.at(op.target)}, {self.at(op.source)}, {weight}, {bias}, {epsilon}, {op.target.size}"
        return [f"layer_norm_{suffix}({arguments});"]

    def _neurons(self, op: Neurons) -> list[str]:
        n, graph, used = op.target.size, op.graph, op.graph.reads()
        loads, arguments, values = {}, [*self.given], [*self.passed]
        for k in range(op.source.size // n):
            loads[f"x{k}"] = f"x[{k * n} + i]" if k else "x[i]"
        for name, rows in op.tables.items():
            if name in used:
                loads[name] = f"{self.tables.reals(f'{op.name}_{name}', rows)}[step * {n} + i]"
        for name, value in op.parameters.items():
            if name in used:
                loads[name] = self.parameter(f"{op.name}_{name}", value, n)
        stores = [f"y[i] = {_cast(op.target)}{{value}};"]
        for name, part in op.states.items():
            loads[name] = f"{name}_[i]"
            stores.append(f"{name}_[i] = {_cast(part)}{{value}};")
            arguments.append(f"{TYPES[part.kind]} *{self.apart}{name}_")
            values.append(self.at(part))
        if any("step *" in load for load in loads.values()):
            arguments.append("uint32_t step")
            values.append("step")
        body = self.statements.body(graph, loads, stores, " " * 8)
        given = ", ".join(["const real *x", f"{TYPES[op.target.kind]} *{self.apart}y", *arguments])
        unread = "" if any(f"x{k}" in used for k in range(op.source.size // n)) else "    (void)x;\n"
        self.functions.append(
            f"\nstatic void {op.name}_step({given})\n{{\n{unread}"
            f"    for (uint32_t i = 0; i < {n}; ++i) {{\n{body}\n    }}\n}}"
        )
        return [f"{op.name}_step({', '.join([self.at(op.source), self.at(op.target), *values])});"]

    def parameter(self, name: str, value: torch.Tensor, n: int) -> str:
        """That of neuron ``i`` of ``n``; ``value`` holds one number for each, or one for all."""
        return f"{self.tables.reals(name, value)}[i]" if value.dim() else self.statements.number(value.item())

    def _accumulate(self, op: Accumulate) -> list[str]:
        n, total = op.target.size, self.item(op.total)
        decayed = total if op.decay == 1.0 else f"{self.statements.number(op.decay)} * {total}"
        lines = [f"for (uint32_t i = 0; i < {n}; ++i) {total} = {decayed} + {self.item(op.source)};"]
        if op.rule == "mean":
            lines.append(f"for (uint32_t i = 0; i < {n}; ++i) {self.item(op.target)} = {total} / ((real)step + 1);")
        return lines

    def _gather(self, op: Gather) -> list[str]:
        n, at = op.target.size, self.place(op.name, op.index)
        source = self.item(op.source).removesuffix("[i]")
        return [f"for (uint32_t i = 0; i < {n}; ++i) {self.item(op.target)} = {source}[{at}];"]

    def _place(self, op: Place) -> list[str]:
        n, at = op.source.size, self.place(op.name, op.index)
        test = f"if ({at} >= 0) " if bool((op.index < 0).any()) else ""
        target = self.item(op.target).removesuffix("[i]")
        return [f"for (uint32_t i = 0; i < {n}; ++i) {test}{target}[{at}] = {self.item(op.source)};"]

    def place(self, name: str, index: torch.Tensor) -> str:
        """Entry ``i`` of a table of places, of the unit where it has a row for each."""
        _, table = self.tables.places(name, index)
        return f"{table}[{f'unit * {index.shape[-1]} + ' if index.dim() == 2 else ''}i]"

    def _copy(self, op: Copy) -> list[str]:
        if op.source == op.target:
            return []
        return [f"copy_{op.target.kind}({self.at(op.target)}, {self.at(op.source)}, {op.target.size});"]

    def _fill(self, op: Fill) -> list[str]:
        return [f"fill({self.at(op.target)}, {self.statements.number(op.value)}, {op.target.size});"]

    def _loop(self, op: Loop) -> list[str]:
        inner = [f"    {line}" for operation in op.body for line in self.operation(operation)]
        return [f"for (uint32_t unit = 0; unit < {op.units}; ++unit) {{", *inner, "}"]


def _cast(part: Part) -> str:
    return "" if part.kind == "real" else f"({TYPES[part.kind]})"


def _indented(lines: list[str]) -> str:
    return "\n".join(f"    {line}" for line in lines)


def _needed(code: str, helpers: Mapping[str, str], dtype: torch.dtype) -> list[str]:
    """The helpers that ``code`` calls, and no other: compilers warn about the rest."""
    found = [text for name, text in helpers.items() if re.search(rf"\b{name}\(", code)]
    whole = c_exponential(dtype)
    if "sigmoid_real(" in code:
        found.insert(0, whole)
    elif "exp_real(" in code:
        found.insert(0, whole.partition("static inline real sigmoid_real")[0])
    return [text.replace("sqrt_real", "sqrtf" if dtype == torch.float32 else "sqrt") for text in found]
