"""Recurrences over time in closed form, for neurons that are linear up to their threshold."""

from __future__ import annotations

import torch
from torch import Tensor


def complex_powers(base: Tensor, count: int) -> Tensor:
    """``base ** t`` for t = 0 ... count-1, ``[count, ...]``; through the logarithm, so exact at 0."""
    t = torch.arange(count, device=base.device, dtype=base.real.dtype)
    t = t.reshape(-1, *(1,) * base.dim())
    return torch.exp(torch.log(base) * t)


def modulo_scan(increment: Tensor, start: Tensor, threshold: Tensor) -> tuple[Tensor, Tensor]:
    """Integrate non-negative increments, each step leaving the remainder by the threshold.

    ``v[t] = r[t-1] + increment[t]``, ``r[t] = v[t] mod threshold``, with r a constant in
    backward (arXiv 2408.14917). A running sum would lose the bits of r as it grows, so it is
    kept in float64; for inputs already in float64 the loss is 1e-16 of the sum.

    Args:
        increment: ``[T, ...]``, at least 0; start: ``r[-1]``, in [0, threshold).

    Returns:
        v ``[T, ...]`` and the last remainder.
    """
    with torch.no_grad():
        level = threshold.double()
        total = torch.cumsum(increment.double(), 0) + start.double()
        remainder = total - torch.floor(total / level) * level
        remainder = remainder.to(increment.dtype)
        before = torch.cat([start.unsqueeze(0).to(increment.dtype), remainder[:-1]])
    return before + increment, remainder[-1]
