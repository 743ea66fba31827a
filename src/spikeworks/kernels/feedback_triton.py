"""Recurrent layers on a GPU: the operators of :mod:`~spikeworks.kernels.feedback` with Triton kernels.

Importing this module gives ``spikeworks::feedback`` and ``spikeworks::feedback_backward`` their form for CUDA
devices: for each step one matrix product and one launch, both into memory allocated before the first.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from .emit_triton import Pipeline
from .feedback import _backward_results as backward_results
from .feedback import _forward_results as forward_results
from .feedback import cut
from .run import contiguous
from .run_triton import kernels_of, launch, step_of

ONE_STEP = Pipeline(1, 0, 0)


def forward(
    inputs: Sequence[Tensor],
    weight: Tensor,
    bias: Tensor,
    last: Tensor,
    others: Sequence[Tensor],
    states: Sequence[Tensor | None],
    parameters: Sequence[Tensor],
    key: str,
    wanted: Sequence[int],
    differentiate: bool,
) -> tuple[Tensor, list[Tensor], list[Tensor], Tensor]:
    """Outputs ``[T, B, N]``, last states ``[M]``, currents ``[T, B, N]``, states before each step ``[T, S, M]``."""
    y, now, currents, borders = forward_results(
        inputs, weight, bias, last, others, states, parameters, key, wanted, differentiate
    )
    for state, start in zip(now, states, strict=True):
        state.zero_() if start is None else state.copy_(start)
    for x, b, current in zip(inputs, bias, currents, strict=True):
        torch.add(x, b, out=current)
    kernel, values = kernels_of(step_of(key), ONE_STEP, tuple(wanted)).forward, contiguous(parameters)
    fixed, vector = (*values, *now), [p.dim() > 0 for p in parameters]
    reached, before = [(current, w.t()) for current, w in zip(currents, weight, strict=True)], last
    signals = [one.flatten(1) for one in (y, *currents, *others)]
    for t, (out, *rows) in enumerate(zip(*signals, strict=True)):
        for current, transposed in reached:
            current[t].addmm_(before, transposed)
        launch(kernel, out, *rows, *fixed, out, *now, borders[t] if differentiate else None, *vector)
        before = y[t]
    return y, now, currents, borders


def backward(
    currents: Sequence[Tensor],
    weight: Tensor,
    others: Sequence[Tensor],
    parameters: Sequence[Tensor],
    borders: Tensor,
    gy: Tensor,
    gend: Sequence[Tensor | None],
    key: str,
    wanted: Sequence[int],
    window: int = 0,
    feedback: bool = True,
) -> tuple[list[Tensor], list[Tensor], list[Tensor]]:
    """Gradients of currents and others ``[T, B, N]``, and of first states and wanted parameters ``[M]``."""
    gx, adjoint, totals = backward_results(currents, weight, others, parameters, borders, gy, gend, key, wanted)
    for state, end in zip(adjoint, gend, strict=True):
        state.zero_() if end is None else state.copy_(end)
    for total in totals:
        total.zero_()
    gradient = gy.clone(memory_format=torch.contiguous_format)
    module, values = kernels_of(step_of(key), ONE_STEP, tuple(wanted)), contiguous(parameters)
    vector, heard = [p.dim() > 0 for p in parameters], list(zip(gx, weight, strict=False))
    given, found = ([one.flatten(1) for one in many] for many in ((*currents, *others), gx))
    for t in reversed(range(len(gy))):
        if t + 1 < len(gy) and feedback and not cut(t + 1, window):
            for g, w in heard:
                gradient[t].addmm_(g[t + 1], w)
        g = gradient[t].flatten()
        launch(
            module.backward, g, 0, *(x[t] for x in given), *values, borders[t], g, *adjoint,
            *(x[t] for x in found), *adjoint, *totals, *totals, *vector, int(cut(t, window)),
        )  # fmt: skip
    return gx, adjoint, totals


torch.library.impl("spikeworks::feedback", "cuda", forward)
torch.library.impl("spikeworks::feedback_backward", "cuda", backward)
