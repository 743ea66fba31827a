"""A fused step inside a recurrent layer: one autograd node for a whole sequence.

``current[t] = x[t] + y[t-1] R' + b`` must be known before step t, so each step is one matrix
product into preallocated memory and one kernel call; backward runs the same way in reverse,
and the gradient of R is one product over all steps at the end.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from .operators import differentiated_once, operator
from .run import FusedStep, contiguous, flags, library_of, needs_gradient, pointers, rows, step_of, summed, wanted_of


def run_with_feedback(
    fused: FusedStep,
    x: Tensor,
    weight: Tensor,
    bias: Tensor,
    last: Tensor,
    states: Sequence[Tensor | None],
    parameters: Sequence[Tensor],
    others: Sequence[Tensor] = (),
) -> tuple[Tensor, tuple[Tensor, ...]]:
    """Run a recurrent layer over a sequence.

    Args:
        x: ``[T, B, N]``; weight: R ``[N, N]``; bias: ``[N]``; last: output before the first
            step ``[B, N]``.
        states: one ``[B * N]`` tensor a state, or ``None`` for zero.
        parameters: scalars ``[]`` or ``[B * N]``.
        others: further inputs of the step, ``[T, B, N]`` each; no output is fed back into them.

    Returns:
        The outputs ``[T, B, N]`` and the states after the last step, ``[B * N]`` each.
    """
    others = [one.contiguous() for one in others]
    tensors = (x, weight, bias, last, *others, *states, *parameters)
    if needs_gradient(*tensors):
        counts = len(others), len(states)
        y, *end = _Feedback.apply(fused.key, counts, wanted_of(parameters), *tensors)  # type: ignore[misc]
    else:
        y, end, *_ = torch.ops.spikeworks.feedback(
            x, weight, bias, last, others, states, parameters, fused.key, (), False
        )
    return y, tuple(end)


class _Feedback(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, key: str, counts: tuple[int, int], wanted: tuple[int, ...], *tensors: Any) -> Any:
        x, weight, bias, last = tensors[:4]
        first, end = 4 + counts[0], 4 + sum(counts)
        others, states, parameters = tensors[4:first], tensors[first:end], tensors[end:]
        y, end, current, borders = torch.ops.spikeworks.feedback(
            x, weight, bias, last, others, states, parameters, key, wanted, True
        )
        ctx.key, ctx.counts, ctx.wanted = key, counts, wanted
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(current, y, borders, weight, last, *others, *parameters)
        return (y, *end)

    @staticmethod
    @differentiated_once
    def backward(ctx: Any, gy: Tensor | None, *gend: Tensor | None) -> Any:
        current, y, borders, weight, last, *rest = ctx.saved_tensors
        others, parameters = rest[: ctx.counts[0]], rest[ctx.counts[0] :]
        gy = torch.zeros_like(y) if gy is None else gy
        (gx, *gothers), grest, totals = torch.ops.spikeworks.feedback_backward(
            current, weight, others, parameters, borders, gy, gend, ctx.key, ctx.wanted
        )
        before = torch.cat([last.unsqueeze(0), y[:-1]]).flatten(0, 1)
        flat = gx.flatten(0, 1)
        needed = ctx.needs_input_grad[7 + len(others) :][: len(grest)]
        grest = [g if n else None for g, n in zip(grest, needed, strict=True)]
        gparameters = summed(totals, parameters, ctx.wanted)
        dense = flat.t() @ before, flat.sum(0), gx[0] @ weight
        return (None, None, None, gx, *dense, *gothers, *grest, *gparameters)


def _forward_results(
    x: Tensor,
    weight: Tensor,
    bias: Tensor,
    last: Tensor,
    others: Sequence[Tensor],
    states: Sequence[Tensor | None],
    parameters: Sequence[Tensor],
    key: str,
    wanted: Sequence[int],
    differentiate: bool,
) -> tuple[Tensor, list[Tensor], Tensor, Tensor]:
    steps, batch, size = x.shape
    end = [x.new_empty(batch * size) for _ in states]
    borders = x.new_empty(steps if differentiate else 0, len(states), batch * size)
    return x.new_empty(steps, batch, size), end, x.new_empty(steps, batch, size), borders


@operator(
    "feedback(Tensor x, Tensor weight, Tensor bias, Tensor last, Tensor[] others, Tensor?[] states,"
    " Tensor[] parameters, str key, int[] wanted, bool differentiate) -> (Tensor, Tensor[], Tensor, Tensor)",
    _forward_results,
)
def _forward(
    x: Tensor,
    weight: Tensor,
    bias: Tensor,
    last: Tensor,
    others: Sequence[Tensor],
    states: Sequence[Tensor | None],
    parameters: Sequence[Tensor],
    key: str,
    wanted: Sequence[int],
    differentiate: bool,
) -> tuple[Tensor, list[Tensor], Tensor, Tensor]:
    """Outputs and currents ``[T, B, N]``, last states ``[M]``, states before each step ``[T, S, M]`` (none: T = 0)."""
    y, now, current, borders = _forward_results(
        x, weight, bias, last, others, states, parameters, key, wanted, differentiate
    )
    for state, start in zip(now, states, strict=True):
        state.zero_() if start is None else state.copy_(start)
    steps, neurons, item = len(x), x[0].numel(), x.element_size()
    values = contiguous(parameters)
    torch.add(x, bias, out=current)
    library, fixed = library_of(step_of(key), tuple(wanted)), (pointers(values), flags(parameters), pointers(now))
    transposed, before = weight.t(), last
    for t in range(steps):
        current[t].addmm_(before, transposed)
        offset = t * neurons * item
        border = borders.data_ptr() + offset * len(now) if differentiate else None
        library.forward(
            neurons, 1, rows([current, *others], offset), *fixed,
            y.data_ptr() + offset, None, fixed[2], border, 0, neurons,
        )  # fmt: skip
        before = y[t]
    return y, now, current, borders


def _backward_results(
    current: Tensor,
    weight: Tensor,
    others: Sequence[Tensor],
    parameters: Sequence[Tensor],
    borders: Tensor,
    gy: Tensor,
    gend: Sequence[Tensor | None],
    key: str,
    wanted: Sequence[int],
) -> tuple[list[Tensor], list[Tensor], list[Tensor]]:
    neurons = current.shape[1] * current.shape[2]
    return (
        [current.new_empty(current.shape) for _ in (current, *others)],
        [current.new_empty(neurons) for _ in gend],
        [current.new_empty(neurons) for _ in wanted],
    )


@operator(
    "feedback_backward(Tensor current, Tensor weight, Tensor[] others, Tensor[] parameters, Tensor borders, Tensor gy,"
    " Tensor?[] gend, str key, int[] wanted) -> (Tensor[], Tensor[], Tensor[])",
    _backward_results,
)
def _backward(
    current: Tensor,
    weight: Tensor,
    others: Sequence[Tensor],
    parameters: Sequence[Tensor],
    borders: Tensor,
    gy: Tensor,
    gend: Sequence[Tensor | None],
    key: str,
    wanted: Sequence[int],
) -> tuple[list[Tensor], list[Tensor], list[Tensor]]:
    """Gradients of current and others ``[T, B, N]``, and of first states and wanted parameters ``[M]``."""
    gx, adjoint, totals = _backward_results(current, weight, others, parameters, borders, gy, gend, key, wanted)
    for state, end in zip(adjoint, gend, strict=True):
        state.zero_() if end is None else state.copy_(end)
    for total in totals:
        total.zero_()
    steps, neurons, item = len(current), current[0].numel(), current.element_size()
    gradient = gy.clone(memory_format=torch.contiguous_format)
    values = contiguous(parameters)
    library = library_of(step_of(key), tuple(wanted))
    fixed, states, sums = (pointers(values), flags(parameters)), pointers(adjoint), pointers(totals)
    for t in reversed(range(steps)):
        offset = t * neurons * item
        if t + 1 < steps:
            gradient[t].addmm_(gx[0][t + 1], weight)
        failed = library.backward(
            neurons, 1, rows([current, *others], offset), *fixed, borders.data_ptr() + offset * len(adjoint),
            gradient.data_ptr() + offset, neurons, states, rows(gx, offset), states, sums, 1, 0, neurons,
        )  # fmt: skip
        if failed:
            raise MemoryError("the backward kernel could not allocate its scratch space")
    return gx, adjoint, totals
