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
from torch.autograd.function import once_differentiable

from .run import FusedStep, flags, library_of, pointers, rows


def run_with_feedback(
    fused: FusedStep,
    x: Tensor,
    weight: Tensor,
    bias: Tensor,
    last: Tensor,
    states: Sequence[Tensor | None],
    parameters: Sequence[Tensor],
) -> tuple[Tensor, tuple[Tensor, ...]]:
    """Run a recurrent layer over a sequence.

    Args:
        x: ``[T, B, N]``; weight: R ``[N, N]``; bias: ``[N]``; last: output before the first
            step ``[B, N]``.
        states: one ``[B * N]`` tensor a state, or ``None`` for zero.
        parameters: scalars ``[]`` or ``[B * N]``.

    Returns:
        The outputs ``[T, B, N]`` and the states after the last step, ``[B * N]`` each.
    """
    y, *end = _Feedback.apply(fused, x, weight, bias, last, *states, *parameters)  # type: ignore[misc]
    return y, tuple(end)


class _Feedback(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, fused: FusedStep, x: Tensor, weight: Tensor, bias: Tensor, last: Tensor, *tensors: Tensor | None
    ) -> Any:
        count = fused.traced.states
        states, values = tensors[:count], [p.detach().contiguous() for p in tensors[count:] if p is not None]
        steps, neurons, item = x.shape[0], x[0].numel(), x.element_size()
        wanted = tuple(k for k in range(len(values)) if ctx.needs_input_grad[5 + count + k])
        differentiate = any(ctx.needs_input_grad)
        current = x + bias
        y = torch.empty_like(current)
        now = [x.new_zeros(neurons) if s is None else s.clone(memory_format=torch.contiguous_format) for s in states]
        borders = x.new_empty(steps, count, neurons) if differentiate else None
        library, fixed = library_of(fused, wanted), (pointers(values), flags(values), pointers(now))
        transposed, before = weight.t(), last
        for t in range(steps):
            current[t].addmm_(before, transposed)
            offset = t * neurons * item
            border = None if borders is None else borders.data_ptr() + offset * count
            library.forward(
                neurons, 1, rows(current, offset), *fixed,
                y.data_ptr() + offset, None, fixed[2], border, 0, neurons,
            )  # fmt: skip
            before = y[t]
        if differentiate:
            ctx.fused, ctx.wanted = fused, wanted
            ctx.save_for_backward(current, y, borders, weight, last, *values)
        return (y, *now)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gy: Tensor | None, *gend: Tensor | None) -> Any:
        current, y, borders, weight, last, *values = ctx.saved_tensors
        steps, neurons, item = current.shape[0], current[0].numel(), current.element_size()
        count = len(gend)
        adjoint = [current.new_zeros(neurons) if g is None else g.clone().contiguous() for g in gend]
        total = torch.zeros_like(current) if gy is None else gy.clone(memory_format=torch.contiguous_format)
        gcurrent = torch.empty_like(current)
        sums = [current.new_zeros(neurons) for _ in ctx.wanted]
        library = library_of(ctx.fused, ctx.wanted)
        fixed, states, sinks = (pointers(values), flags(values)), pointers(adjoint), pointers(sums)
        for t in reversed(range(steps)):
            offset = t * neurons * item
            if t + 1 < steps:
                total[t].addmm_(gcurrent[t + 1], weight)
            failed = library.backward(
                neurons, 1, rows(current, offset), *fixed, borders.data_ptr() + offset * count,
                total.data_ptr() + offset, states, rows(gcurrent, offset), states, sinks, 1, 0, neurons,
            )  # fmt: skip
            if failed:
                raise MemoryError("the backward kernel could not allocate its scratch space")
        before = torch.cat([last.unsqueeze(0), y[:-1]]).flatten(0, 1)
        flat = gcurrent.flatten(0, 1)
        gparameters: list[Tensor | None] = [None] * len(values)
        for slot, k in enumerate(ctx.wanted):
            gparameters[k] = sums[slot] if values[k].dim() else sums[slot].sum()
        grest = [g if needed else None for g, needed in zip(adjoint, ctx.needs_input_grad[5 : 5 + count], strict=True)]
        return (None, gcurrent, flat.t() @ before, flat.sum(0), gcurrent[0] @ weight, *grest, *gparameters)
