"""Programs as C for this machine: the text for devices with weights as data, and helpers for vector units.

Sums are taken term by term in the order of the text for devices, so that spikes are the same: a block of the target
stays in registers while the columns of all inputs that are not 0 are added to it, one after the other.
"""

from __future__ import annotations

import dataclasses

from torch import Tensor

from .emit import Emitter
from .helpers import HELPERS
from .program import Program
from .tables import PackedTables

NAME = "network"
REST, RUN = f"{NAME}_rest", f"{NAME}_run"


@dataclasses.dataclass(frozen=True)
class NativeSource:
    """A program for this machine.

    ``network_rest(tables, states, rows)`` brings states to rest, ``network_run(tables, states, x, y, steps, rows)``
    takes ``x [steps, rows, inputs]`` and returns 1 where a sequence is longer than the network's tables.

    Attributes:
        text: the source.
        tables: its weights and tables, one block of bytes.
        state_bytes: of the struct of one row.
    """

    text: str
    tables: Tensor
    state_bytes: int


def native_source(program: Program, *, every: bool) -> NativeSource:
    """The source of a program.

    Args:
        program: what to run.
        every: whether ``y`` is ``[steps, rows, outputs]``, or the last answers ``[rows, outputs]``.
    """
    emitter = _NativeEmitter(program, NAME)
    functions = emitter.code()
    stride = "rows * OUTPUTS" if every else "0"
    sizes = f"enum {{ INPUTS = {program.input.size}, OUTPUTS = {program.output.size} }};"
    parts = [_HEAD, emitter.real(), _TYPES, sizes, emitter.struct(), functions, _RUN.replace("{stride}", stride)]
    return NativeSource("\n".join(parts), emitter.packed.block(), emitter.layout.struct_bytes)


class _NativeEmitter(Emitter):
    given = ("const unsigned char *tables",)
    passed = ("tables",)
    apart = "restrict "

    def __init__(self, program: Program, name: str) -> None:
        self.packed = PackedTables(program.dtype)
        super().__init__(program, name)

    def constants(self) -> PackedTables:
        return self.packed

    def parameter(self, name: str, value: Tensor, n: int) -> str:
        # one number for all neurons stands in a table as well: training may make it many
        return super().parameter(name, value.expand(n), n)


_HEAD = """\
/* Emitted by spikeworks: one step of a network, for this machine. */
#include <math.h>
#include <stdint.h>
#include <string.h>
"""

_TYPES = """\
typedef network_real real;
typedef int32_t truth;

#define ALWAYS static inline __attribute__((always_inline))
/* Vectors of 64 bytes in whatever registers there are, at any address of their elements. */
enum { LANES = 64 / sizeof(real), FIRED = 256 };
typedef real vector __attribute__((vector_size(64), aligned(sizeof(real)), may_alias));
typedef int32_t sum_vector __attribute__((vector_size(4 * LANES), aligned(4), may_alias));
typedef struct { int8_t item[LANES]; } byte_vector;

ALWAYS sum_vector widened(byte_vector bytes)
{
    /* each compiler makes one instruction of one of these, and very many of the other */
#if defined(__clang__)
    int8_t given __attribute__((vector_size(LANES)));
    memcpy(&given, &bytes, sizeof given);
    return __builtin_convertvector(given, sum_vector);
#else
    sum_vector found;
    for (int k = 0; k < (int)LANES; ++k) found[k] = bytes.item[k];
    return found;
#endif
}
"""

_RUN = """
void network_rest(const unsigned char *tables, network_state *states, int64_t rows)
{
    for (int64_t b = 0; b < rows; ++b) network_reset(states + b, tables);
}

int network_run(const unsigned char *tables, network_state *states, const real *x, real *y, int64_t steps, int64_t rows)
{
    for (int64_t t = 0; t < steps; ++t, x += rows * INPUTS, y += {stride})
        for (int64_t b = 0; b < rows; ++b)
            if (network_step(states + b, x + b * INPUTS, y + b * OUTPUTS, tables)) return 1;
    return 0;
}
"""

_COLUMNS = """
/* Columns of so many vectors, added to `to` where x is not 0. */
ALWAYS void {name}_block({sum} *to, const {weight} *weight, const {type} *x, const uint32_t *fired, uint32_t count,
                         uint32_t outputs, const uint32_t wide)
{{
    {sum_vector} sum[8];
#pragma GCC unroll 8
    for (uint32_t k = 0; k < wide; ++k) sum[k] = ((const {sum_vector} *)to)[k];
    for (uint32_t f = 0; f < count; ++f) {{
        const {weight_vector} *column = (const {weight_vector} *)(weight + (size_t)fired[f] * outputs);
#pragma GCC unroll 8
        for (uint32_t k = 0; k < wide; ++k) sum[k] += {factor}{column};
    }}
#pragma GCC unroll 8
    for (uint32_t k = 0; k < wide; ++k) (({sum_vector} *)to)[k] = sum[k];
}}

static void {name}({sum} *to, const {weight} *weight, const {type} *x, uint32_t inputs, uint32_t outputs)
{{
    uint32_t fired[FIRED];{first}
    for (uint32_t start = 0; start < inputs; start += FIRED) {{
        const uint32_t end = inputs - start < FIRED ? inputs : start + FIRED;
        uint32_t count = 0, o = 0;
        for (uint32_t i = start; i < end; ++i) {{
            fired[count] = i;
            count += x[i] != 0;
        }}
        for (; outputs - o >= 8 * LANES; o += 8 * LANES) {name}_block(to + o, weight + o, x, fired, count, outputs, 8);
        for (; outputs - o >= 4 * LANES; o += 4 * LANES) {name}_block(to + o, weight + o, x, fired, count, outputs, 4);
        for (; outputs - o >= 2 * LANES; o += 2 * LANES) {name}_block(to + o, weight + o, x, fired, count, outputs, 2);
        for (; outputs - o >= LANES; o += LANES) {name}_block(to + o, weight + o, x, fired, count, outputs, 1);
        for (uint32_t f = 0; f < count && o < outputs; ++f)
            for (uint32_t k = o; k < outputs; ++k) to[k] += {factor}{cast}weight[(size_t)fired[f] * outputs + k];
    }}
}}"""

_REALS = {"sum": "real", "sum_vector": "vector"}
_FLOATS = {"weight": "real", "weight_vector": "vector", "column": "column[k]", "cast": "", "first": ""}
_FIRST = "\n    for (uint32_t o = 0; o < outputs; ++o) to[o] = 0;"


_BYTES = {
    "weight": "int8_t",
    "weight_vector": "byte_vector",
    "column": "widened(column[k])",
    "cast": "",
    "first": _FIRST,
}
_SUMS = {"sum": "int32_t", "sum_vector": "sum_vector"}
_AS_REALS = {"column": "__builtin_convertvector(widened(column[k]), vector)", "cast": "(real)"}


_SPIKES = {"type": "uint8_t", "factor": ""}
_INPUTS = {"type": "real", "factor": "x[fired[f]] * "}
_NativeEmitter.helpers = {
    **HELPERS,
    **{
        name: _COLUMNS.format(name=name, **words)
        for name, words in {
            "add_columns_spikes": _SPIKES | _REALS | _FLOATS,
            "add_columns_reals": _INPUTS | _REALS | _FLOATS,
            "sum_columns_spikes": _SPIKES | _SUMS | _BYTES,
            "sum_columns_reals": _INPUTS | _REALS | _BYTES | _AS_REALS,
        }.items()
    },
}
