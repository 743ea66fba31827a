"""A fused step inside a recurrent layer: one autograd node for a whole sequence.

``current[t] = x[t] + y[t-1] R' + b``, for each input of the step with an R of its own, must be known
before step t, so each step is one matrix product for each input into preallocated memory and one kernel
call; backward runs the same way in reverse, and the gradient of R is one product over all steps at the
end.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from .operators import differentiated_once, operator
from .run import (
    FusedStep,
    contiguous,
    detached,
    flags,
    library_of,
    needs_gradient,
    pointers,
    rows,
    step_of,
    summed,
    wanted_of,
)
from .threads import products_of


def run_with_feedback(
    fused: FusedStep,
    inputs: Sequence[Tensor],
    weight: Tensor,
    bias: Tensor,
    last: Tensor,
    states: Sequence[Tensor | None],
    parameters: Sequence[Tensor],
    others: Sequence[Tensor] = (),
    *,
    window: int | None = None,
    feedback: bool = True,
) -> tuple[Tensor, tuple[Tensor, ...]]:
    """Run a recurrent layer over a sequence.

    Args:
        inputs: K of ``[T, B, N]``; weight: R ``[K, N, N]``; bias: ``[K, N]``; last: output before the
            first step ``[B, N]``.
        states: one ``[B * N]`` tensor a state, or ``None`` for zero.
        parameters: scalars ``[]`` or ``[B * N]``.
        others: further inputs of the step, ``[T, B, N]`` each; no output is fed back into them.
        window: no gradient passes from step t to the states and the output before it where
            ``t % window == 0``.
        feedback: whether gradients pass through R to the output of the step before.

    Returns:
        The outputs ``[T, B, N]`` and the states after the last step, ``[B * N]`` each.
    """
    others = [one.contiguous() for one in others]
    tensors = (*inputs, weight, bias, last, *others, *states, *parameters)
    if needs_gradient(*tensors):
        states, counts = detached(states, window), (len(inputs), len(others), len(states))
        last = last if feedback and window is None else last.detach()
        tensors = (*inputs, weight, bias, last, *others, *states, *parameters)
        y, *end = _Feedback.apply(fused.key, counts, wanted_of(parameters), window, feedback, *tensors)  # type: ignore[misc]
    else:
        y, end, *_ = torch.ops.spikeworks.feedback(
            inputs, weight, bias, last, others, states, parameters, fused.key, (), False
        )
    return y, tuple(end)


class _Feedback(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        key: str,
        counts: tuple[int, int, int],
        wanted: tuple[int, ...],
        window: int | None,
        feedback: bool,
        *tensors: Any,
    ) -> Any:
        heard = counts[0]
        weight, bias, last = tensors[heard : heard + 3]
        first, stop = heard + 3 + counts[1], heard + 3 + counts[1] + counts[2]
        others, states, parameters = tensors[heard + 3 : first], tensors[first:stop], tensors[stop:]
        y, end, currents, borders = torch.ops.spikeworks.feedback(
            tensors[:heard], weight, bias, last, others, states, parameters, key, wanted, True
        )
        ctx.key, ctx.counts, ctx.wanted, ctx.cuts = key, counts, wanted, (window or 0, feedback)
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(*currents, y, borders, weight, last, *others, *parameters)
        return (y, *end)

    @staticmethod
    @differentiated_once
    def backward(ctx: Any, gy: Tensor | None, *gend: Tensor | None) -> Any:
        heard, further, states = ctx.counts
        currents = ctx.saved_tensors[:heard]
        y, borders, weight, last, *rest = ctx.saved_tensors[heard:]
        others, parameters = rest[:further], rest[further:]
        gy = torch.zeros_like(y) if gy is None else gy
        found, grest, totals = torch.ops.spikeworks.feedback_backward(
            currents, weight, others, parameters, borders, gy, gend, ctx.key, ctx.wanted, *ctx.cuts
        )
        gx, gothers = found[:heard], found[heard:]
        later = y[:-1].flatten(0, 1)
        needed = ctx.needs_input_grad[5 + heard :]
        glast = sum(g[0] @ w for g, w in zip(gx, weight, strict=True)) if needed[2] else None
        dense = (
            torch.stack([torch.addmm(g[0].t() @ last, g[1:].flatten(0, 1).t(), later) for g in gx]),
            torch.stack([g.flatten(0, 1).sum(0) for g in gx]),
            glast,
        )
        needed = needed[3 + further :][:states]
        grest = [g if n else None for g, n in zip(grest, needed, strict=True)]
        gparameters = summed(totals, parameters, ctx.wanted)
        return (None, None, None, None, None, *gx, *dense, *gothers, *grest, *gparameters)


def _forward_results(
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
    x = inputs[0]
    steps, batch, size = x.shape
    end = [x.new_empty(batch * size) for _ in states]
    borders = x.new_empty(steps if differentiate else 0, len(states), batch * size)
    return x.new_empty(steps, batch, size), end, [x.new_empty(steps, batch, size) for _ in inputs], borders


@operator(
    "feedback(Tensor[] inputs, Tensor weight, Tensor bias, Tensor last, Tensor[] others, Tensor?[] states,"
    " Tensor[] parameters, str key, int[] wanted, bool differentiate) -> (Tensor, Tensor[], Tensor[], Tensor)",
    _forward_results,
)
def _forward(
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
    """Outputs ``[T, B, N]``, last states ``[M]``, currents ``[T, B, N]``, states before each step ``[T, S, M]``.

    Without ``differentiate`` the last is empty: T = 0.
    """
    y, now, currents, borders = _forward_results(
        inputs, weight, bias, last, others, states, parameters, key, wanted, differentiate
    )
    for state, start in zip(now, states, strict=True):
        state.zero_() if start is None else state.copy_(start)
    steps, neurons, item = len(y), y[0].numel(), y.element_size()
    values = contiguous(parameters)
    for x, b, current in zip(inputs, bias, currents, strict=True):
        torch.add(x, b, out=current)
    library, fixed = library_of(step_of(key), tuple(wanted)), (pointers(values), flags(parameters), pointers(now))
    signals, before = [*currents, *others], last
    reached = [(current, w.t()) for current, w in zip(currents, weight, strict=True)]
    with products_of(neurons * y.shape[2]):
        for t in range(steps):
            for current, transposed in reached:
                current[t].addmm_(before, transposed)
            offset = t * neurons * item
            border = borders.data_ptr() + offset * len(now) if differentiate else None
            library.forward(
                neurons, 1, rows(signals, offset), *fixed,
                y.data_ptr() + offset, None, fixed[2], border, 0, neurons,
            )  # fmt: skip
            before = y[t]
    return y, now, currents, borders


def _backward_results(
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
    steps, batch, size = gy.shape
    return (
        [gy.new_empty(steps, batch, size) for _ in (*currents, *others)],
        [gy.new_empty(batch * size) for _ in gend],
        [gy.new_empty(batch * size) for _ in wanted],
    )


@operator(
    "feedback_backward(Tensor[] currents, Tensor weight, Tensor[] others, Tensor[] parameters, Tensor borders,"
    " Tensor gy, Tensor?[] gend, str key, int[] wanted, int window=0, bool feedback=True)"
    " -> (Tensor[], Tensor[], Tensor[])",
    _backward_results,
)
def _backward(
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
    """Gradients of currents and others ``[T, B, N]``, and of first states and wanted parameters ``[M]``.

    ``window`` is 0 where gradients pass every step.
    """
    gx, adjoint, totals = _backward_results(currents, weight, others, parameters, borders, gy, gend, key, wanted)
    for state, end in zip(adjoint, gend, strict=True):
        state.zero_() if end is None else state.copy_(end)
    for total in totals:
        total.zero_()
    steps, neurons, item = len(gy), gy[0].numel(), gy.element_size()
    gradient = gy.clone(memory_format=torch.contiguous_format)
    values, signals = contiguous(parameters), [*currents, *others]
    library = library_of(step_of(key), tuple(wanted))
    fixed, states, sums = (pointers(values), flags(parameters)), pointers(adjoint), pointers(totals)
    heard = list(zip(gx, weight, strict=False))
    with products_of(neurons * gy.shape[2]):
        for t in reversed(range(steps)):
            offset = t * neurons * item
            if t + 1 < steps and feedback and not cut(t + 1, window):
                for g, w in heard:
                    gradient[t].addmm_(g[t + 1], w)
            failed = library.backward(
                neurons, 1, rows(signals, offset), *fixed, borders.data_ptr() + offset * len(adjoint),
                gradient.data_ptr() + offset, neurons, states, rows(gx, offset), states, sums, 1,
                int(cut(t, window)), 0, neurons,
            )  # fmt: skip
            if failed:
                raise MemoryError("the backward kernel could not allocate its scratch space")
    return gx, adjoint, totals


def cut(step: int, window: int) -> bool:
    """Whether no gradient passes from ``step`` to what was before it; a window of 0 cuts nothing."""
    return window > 0 and step % window == 0
