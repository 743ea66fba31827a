"""The clip of SPAM: every coordinate of a gradient against its own second moment (arXiv 2501.06842)."""

# pyright: reportPrivateImportUsage=false

from __future__ import annotations

import math

import torch
from torch import Tensor

from .adam_step import Form


def clip_spikes(gs: list[Tensor], vs: list[Tensor], threshold: float, zero_guard: bool, form: Form) -> list[Tensor]:
    """Gradients limited to ``+-sqrt(threshold * v)``; the given ones are left as they are.

    The square roots are multiplied, because ``threshold * v`` overflows where they do not.

    Args:
        gs: gradients of one device and dtype.
        vs: their second moments before this update, without bias correction.
        threshold: largest ``g**2 / v`` that passes, positive and finite.
        zero_guard: let every gradient pass where ``v`` is 0.
        form: over lists or tensor by tensor; without influence on what is computed.

    Example:
        >>> g, v = torch.tensor([-9.0, 1.0, 5.0]), torch.tensor([1.0, 1.0, 0.0])
        >>> clip_spikes([g], [v], 4.0, True, "single")
        [tensor([-2.,  1.,  5.])]
    """
    if form == "single":
        return [_clip(g, v, threshold, zero_guard) for g, v in zip(gs, vs, strict=True)]
    bounds = torch._foreach_sqrt(vs)
    torch._foreach_mul_(bounds, math.sqrt(threshold))
    if zero_guard:
        for bound in bounds:
            torch.threshold_(bound, 0.0, math.inf)
    clipped = torch._foreach_minimum(gs, bounds)
    torch._foreach_neg_(bounds)
    torch._foreach_maximum_(clipped, bounds)
    return list(clipped)


def _clip(g: Tensor, v: Tensor, threshold: float, zero_guard: bool) -> Tensor:
    bound = v.sqrt().mul_(math.sqrt(threshold))
    if zero_guard:
        torch.threshold_(bound, 0.0, math.inf)  # infinite where it is 0; much cheaper than a mask
    return torch.minimum(g, bound).clamp_(min=bound.neg_())
