"""Whole delays: every input that is not zero is added to the steps at which it arrives.

The work is spikes times fan-out, as on a device, and independent of the longest delay. Each sum runs
over inputs in their order and over time, so a sequence in chunks gives the bits of the whole one.

Legend of shapes: T time, B batch, O outputs, I inputs, K taps, D delays.
"""

from __future__ import annotations

import ctypes
import functools
from collections.abc import Callable

import torch
from torch import Tensor

from ..kernels import build, requested
from ..kernels.threads import in_threads
from .delay_forms import direct

_NAMES = {torch.float32: "float", torch.float64: "double"}


def deliver(x: Tensor, weight: Tensor, delays: Tensor, longest: int) -> Tensor:
    """``y[t, b, o] = sum_ik weight[o, i, k] x[t - delays[o, i, k], b, i]``.

    In C where no gradient is wanted and a compiler is there, else as a convolution.

    Args:
        x: the input with its past in front, ``[D - 1 + T, B, I]``.
        weight: ``[O, I, K]``; delays: int64 of the same shape, 0 to ``longest`` = D - 1.

    Returns:
        ``[T, B, O]``.
    """
    wanted = torch.is_grad_enabled() and (x.requires_grad or weight.requires_grad)
    if not wanted and _compiled_form_runs(x):
        return _deliver_in_c(x, weight, delays, longest)
    kernel = weight.new_zeros(*weight.shape[:2], longest + 1).scatter_add(2, delays, weight)
    return direct(x, kernel)


def _compiled_form_runs(x: Tensor) -> bool:
    here = x.device.type == "cpu" and x.dtype in _NAMES and not torch.compiler.is_compiling()
    return here and requested() in ("auto", "c") and not isinstance(build.working_flags(), str)


def _deliver_in_c(x: Tensor, weight: Tensor, delays: Tensor, longest: int) -> Tensor:
    outputs, inputs, taps = weight.shape
    steps, batch = len(x) - longest, x.shape[1]
    x = x.detach().contiguous()
    rows = weight.detach().permute(1, 2, 0).contiguous()
    places = (delays.permute(1, 2, 0) * outputs + torch.arange(outputs)).contiguous()
    y = x.new_zeros(batch, steps, outputs)
    call = _kernel(x.dtype)
    fixed = (longest, steps, batch, inputs, taps, outputs)
    addresses = tuple(t.data_ptr() for t in (x, rows, places, y))

    def part(first: int, last: int) -> None:
        call(*fixed, *addresses, first, last)

    in_threads(part, batch, work=x.numel() * taps * outputs)
    return y.transpose(0, 1)


@functools.lru_cache(maxsize=2)
def _kernel(dtype: torch.dtype) -> Callable[..., None]:
    function = build.load(_SOURCE.replace("REAL", _NAMES[dtype])).deliver
    function.argtypes = [ctypes.c_int64] * 6 + [ctypes.c_void_p] * 4 + [ctypes.c_int64] * 2
    function.restype = None
    return function


_SOURCE = """
#include <stdint.h>

/* x [past + steps][batch][inputs], w and place [inputs][taps][outputs], y [batch][steps][outputs];
   place = delay * outputs + output; the columns first <= b < last of the batch are done. */
void deliver(int64_t past, int64_t steps, int64_t batch, int64_t inputs, int64_t taps, int64_t outputs,
             const REAL *x, const REAL *w, const int64_t *place, REAL *y, int64_t first, int64_t last)
{
    const int64_t size = steps * outputs;
    for (int64_t b = first; b < last; b++) {
        REAL *restrict mine = y + b * size;
        for (int64_t i = 0; i < inputs; i++) {
            for (int64_t s = 0; s < past + steps; s++) {
                const REAL value = x[(s * batch + b) * inputs + i];
                if (value == 0) continue;
                const int64_t now = (s - past) * outputs;
                for (int64_t k = 0; k < taps; k++) {
                    const REAL *restrict weight = w + (i * taps + k) * outputs;
                    const int64_t *restrict to = place + (i * taps + k) * outputs;
                    if (s >= past && s + past < steps) {
#pragma GCC ivdep
                        for (int64_t o = 0; o < outputs; o++) mine[now + to[o]] += weight[o] * value;
                    } else {
#pragma GCC ivdep
                        for (int64_t o = 0; o < outputs; o++)
                            if ((uint64_t)(now + to[o]) < (uint64_t)size) mine[now + to[o]] += weight[o] * value;
                    }
                }
            }
        }
    }
}
"""
