"""C from graphs: a fused loop over time, forward and backward, for any traced step.

Neurons are independent of each other, so blocks of them are the outer loop, time the middle
one, and a vectorised loop over the block the inner one: states and parameters stay in the
first-level cache for the whole sequence, and only the input and the output cross the memory
bus. The backward pass stores states at chunk borders only and computes the ones between
again, so that a layer keeps ``states / chunk`` arrays for the gradient instead of all states.
Rows to come are fetched ahead, and results too large for a cache are written past it.

Forward, the arithmetic is that of the step, operation by operation and unfused: results equal
the Python loop bit for bit as long as the step uses no transcendental function. In the gradient,
products and sums on which no comparison depends are fused.
"""

from __future__ import annotations

import dataclasses

import torch

from .c_prelude import c_prelude
from .c_statements import Statements
from .graph import Graph
from .trace import TracedStep

FIRST_LEVEL_BYTES = 40 * 1024
"""States, parameters and their gradients of one block should fit in the first-level cache."""
SCRATCH_BYTES = 320 * 1024
"""Recomputed states of one block and chunk should fit in the second-level cache."""


@dataclasses.dataclass(frozen=True)
class Tiling:
    """How many neurons form a block and how many steps a chunk."""

    block: int
    chunk: int


def choose_tiling(step: TracedStep, itemsize: int) -> Tiling:
    """The largest block and chunk whose working sets fit the caches.

    Example:
        A LIF layer in float32 gets blocks of 256 neurons and chunks of 64 steps.
    """
    arrays = 2 * (step.inputs + step.states + step.parameters) + 2
    block = next((n for n in (256, 128) if arrays * n * itemsize <= FIRST_LEVEL_BYTES), 64)
    stored = max(1, step.states)
    chunk = next((k for k in (64, 32) if k * stored * block * itemsize <= SCRATCH_BYTES), 16)
    return Tiling(block, chunk)


def emit_c(step: TracedStep, dtype: torch.dtype, tiling: Tiling, parameter_gradients: tuple[int, ...]) -> str:
    """Source of a shared library with ``forward`` and ``backward``.

    Args:
        step: the traced step.
        dtype: float32 or float64.
        tiling: block and chunk.
        parameter_gradients: indices of the parameters whose gradients are wanted.
    """
    writer = _Writer(step, dtype, tiling)
    return "\n".join([writer.prelude(), writer.forward(), writer.backward(parameter_gradients)])


class _Writer(Statements):
    def __init__(self, step: TracedStep, dtype: torch.dtype, tiling: Tiling) -> None:
        super().__init__(dtype)
        self.step, self.dtype, self.tiling = step, dtype, tiling

    def prelude(self) -> str:
        sizes = {"BLOCK": self.tiling.block, "CHUNK": self.tiling.chunk, "INPUTS": self.step.inputs}
        return c_prelude(self.dtype, sizes | {"STATES": self.step.states, "PARAMETERS": self.step.parameters})

    # -- the two functions -----------------------------------------------------------------

    def forward(self) -> str:
        s, p = range(self.step.states), range(self.step.parameters)
        graph = self.step.forward
        loads = {**self.input_loads(), **{f"s{k}": f"state[{k}][i]" for k in s}, **self.parameter_loads(graph)}
        stores = ["yt[i] = {value};", *(f"state[{k}][i] = {{value}};" for k in s)]
        return f"""
/* x[k], y: [T, M]. p[k]: one number, or [M] where vector[k]. rest[k]: [M] or NULL for zero.
   bits: [T, M / 8] or NULL, y != 0 as bits, the lowest first; then M and first are multiples of 8.
   end[k]: [M]. borders: [ceil(T / CHUNK), STATES, M] or NULL. Neurons first..last-1 are done. */
void forward(int64_t M, int64_t T, const real *const *x, const real *const *p, const int32_t *vector,
             const real *const *rest, real *y, uint8_t *bits, real *const *end, real *borders, int64_t first,
             int64_t last) {{
    real state[STATES + 1][ROW];
    real parameter[PARAMETERS + 1][ROW];
    real out[ROW] __attribute__((aligned(64)));
    const int past = streams(y, T, M);
    for (int64_t j = first; j < last; j += BLOCK) {{
        const int64_t n = last - j < BLOCK ? last - j : BLOCK;
        {self.fill_parameters(p)}
        for (int k = 0; k < STATES; ++k) {{
            if (rest[k]) memcpy(state[k], rest[k] + j, n * sizeof(real));
            else memset(state[k], 0, sizeof state[k]);
        }}
        for (int64_t t = 0; t < T; ++t) {{
            {self.input_rows()}
            real *restrict yt = past ? out : y + t * M + j;
            if (t + AHEAD < T) {{ {self.fetch_rows("AHEAD * M")} }}
            if (borders && t % CHUNK == 0)
                for (int k = 0; k < STATES; ++k)
                    memcpy(borders + ((t / CHUNK) * STATES + k) * M + j, state[k], n * sizeof(real));
            #pragma GCC ivdep
            for (int64_t i = 0; i < n; ++i) {{
{self.body(graph, loads, stores, " " * 16)}
            }}
            if (bits) pack_row(yt, bits + (t * M + j) / 8, n);
            if (past) stream_row(y + t * M + j, out, n);
        }}
        for (int k = 0; k < STATES; ++k) memcpy(end[k] + j, state[k], n * sizeof(real));
    }}
    finish_stream();
}}
"""

    def backward(self, wanted: tuple[int, ...]) -> str:
        states, p = range(self.step.states), range(self.step.parameters)
        transition = self.step.forward.keep(tuple(1 + k for k in states))
        first_parameter = self.step.inputs + self.step.states
        outputs = (*range(first_parameter), *(first_parameter + k for k in wanted))
        gradient = self.step.backward.keep(outputs)
        slots = "scratch + (size_t)(t - start) * STATES * ROW"
        loads = {**self.input_loads(), **self.parameter_loads(transition)}
        again = self.body(
            transition,
            loads | {f"s{k}": f"now[{k} * ROW + i]" for k in states},
            [f"next[{k} * ROW + i] = {{value}};" for k in states],
            " " * 20,
        )
        loads = {**self.input_loads(), "g_y": "gyt[i]", **self.parameter_loads(gradient)}
        loads |= {f"s{k}": f"now[{k} * ROW + i]" for k in states}
        loads |= {f"g_s{k}": f"adjoint[{k}][i]" for k in states}
        stores = [f"gx{k}t[i] = {{value}};" for k in range(self.step.inputs)]
        stores += [f"adjoint[{k}][i] = {{value}};" for k in states]
        stores += [f"total[{slot}][i] += {{value}};" for slot in range(len(wanted))]
        pull = self.body(gradient, loads, stores, " " * 20, contract=True)
        inputs = range(self.step.inputs)
        gradient_rows = " ".join(f"real *restrict gx{k}t = past ? out[{k}] : gx[{k}] + t * M + j;" for k in inputs)
        write_rows = " ".join(f"stream_row(gx[{k}] + t * M + j, out[{k}], n);" for k in inputs)
        all_stream = " && ".join(f"streams(gx[{k}], T, M)" for k in inputs)
        slots_wanted = range(len(wanted))
        copy_in = " ".join(f"memcpy(total[{k}], gp[{k}] + j, n * sizeof(real));" for k in slots_wanted)
        copy_out = " ".join(f"memcpy(gp[{k}] + j, total[{k}], n * sizeof(real));" for k in slots_wanted)
        return f"""
/* gy: [T, M], its rows G apart: 0 where all steps have the same gradient. gend[k]: [M] or NULL for
   zero. Writes gx[k]: [T, M], grest[k]: [M] or NULL, gp[k]: [M] for each wanted parameter, to which
   it adds where accumulate is set. gend[k] and grest[k] may be one array. With a window above 0 no
   gradient passes from a step t with t % window == 0 to the states before it. Returns 1 where memory
   is short. */
int backward(int64_t M, int64_t T, const real *const *x, const real *const *p, const int32_t *vector,
             const real *borders, const real *gy, int64_t G, const real *const *gend, real *const *gx,
             real *const *grest,
             real *const *gp, int32_t accumulate, int64_t window, int64_t first, int64_t last) {{
    real *scratch = malloc((size_t)(CHUNK + 1) * (STATES + 1) * ROW * sizeof(real));
    real adjoint[STATES + 1][ROW];
    real total[{len(wanted)} + 1][ROW];
    real parameter[PARAMETERS + 1][ROW];
    real out[INPUTS][ROW] __attribute__((aligned(64)));
    const int past = {all_stream};
    if (!scratch) return 1;
    for (int64_t j = first; j < last; j += BLOCK) {{
        const int64_t n = last - j < BLOCK ? last - j : BLOCK;
        {self.fill_parameters(p)}
        memset(total, 0, sizeof total);
        if (accumulate) {{
            {copy_in}
        }}
        for (int k = 0; k < STATES; ++k) {{
            if (gend[k]) memcpy(adjoint[k], gend[k] + j, n * sizeof(real));
            else memset(adjoint[k], 0, sizeof adjoint[k]);
        }}
        for (int64_t c = (T - 1) / CHUNK; c >= 0; --c) {{
            const int64_t start = c * CHUNK, stop = start + CHUNK < T ? start + CHUNK : T;
            for (int k = 0; k < STATES; ++k)
                memcpy(scratch + k * ROW, borders + (c * STATES + k) * M + j, n * sizeof(real));
            for (int64_t t = start; t < stop - 1; ++t) {{
                {self.input_rows()}
                const real *restrict now = {slots};
                real *restrict next = {slots} + (size_t)STATES * ROW;
                if (t + AHEAD < stop) {{ {self.fetch_rows("AHEAD * M")} }}
                #pragma GCC ivdep
                for (int64_t i = 0; i < n; ++i) {{
{again}
                }}
            }}
            for (int64_t t = stop - 1; t >= start; --t) {{
                {self.input_rows()}
                const real *restrict gyt = gy + t * G + j;
                const real *restrict now = {slots};
                {gradient_rows}
                if (t >= AHEAD) fetch_row(gyt - AHEAD * G, n);
                if (t >= CHUNK) {{ {self.fetch_rows("-(int64_t)CHUNK * M")} }}
                (void)now;
                #pragma GCC ivdep
                for (int64_t i = 0; i < n; ++i) {{
{pull}
                }}
                if (past) {{ {write_rows} }}
                if (window && t % window == 0) memset(adjoint, 0, sizeof adjoint);
            }}
        }}
        for (int k = 0; k < STATES; ++k)
            if (grest[k]) memcpy(grest[k] + j, adjoint[k], n * sizeof(real));
        {copy_out}
    }}
    finish_stream();
    free(scratch);
    return 0;
}}
"""

    def input_rows(self) -> str:
        return " ".join(
            f"const real *restrict x{k}t = x[{k}] + t * M + j; (void)x{k}t;" for k in range(self.step.inputs)
        )

    def fetch_rows(self, distance: str) -> str:
        return " ".join(f"fetch_row(x{k}t + {distance}, n);" for k in range(self.step.inputs))

    def input_loads(self) -> dict[str, str]:
        return {f"x{k}": f"x{k}t[i]" for k in range(self.step.inputs)}

    def parameter_loads(self, graph: Graph) -> dict[str, str]:
        return {name: f"parameter[{name[1:]}][i]" for name in graph.inputs if name[0] == "p"}

    def fill_parameters(self, parameters: range) -> str:
        if not parameters:
            return "(void)p; (void)vector; (void)parameter;"
        return """for (int k = 0; k < PARAMETERS; ++k)
            for (int64_t i = 0; i < n; ++i) parameter[k][i] = vector[k] ? p[k][j + i] : p[k][0];"""
