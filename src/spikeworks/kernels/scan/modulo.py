"""Integration with a modulo reset: each step leaves the remainder by the threshold.

``v[t] = r[t-1] + increment[t]``, ``r[t] = v[t] mod threshold``. The remainder after t steps is that of
the whole sum, so the serial loop is not needed (arXiv 2408.14917). But a running sum grows while
its remainder stays small: in float32 its last bits, and with them the spikes, are lost at long T.
Two ways out: the sum in float64, or adding *modulo the threshold*, which is associative and
never grows. A remainder next to the threshold may still come out next to 0: two steps then
exchange a spike, in float32 a few in 10 ** 5 steps of the associative and chunked forms, next to
none with float64. Costs of one site for T steps:

===========  ==========  =======================  =======================
form         operations  passes after each other  memory above the result
===========  ==========  =======================  =======================
loop         T           T                        none
float64      T           1 sum, 5 elementwise     2 arrays of doubles
associative  T log2 T    log2 T                   3 arrays
chunked      2 T         2 sqrt T                 3 arrays
===========  ==========  =======================  =======================
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from .forms import check_form, planned_form


def whole_thresholds(potential: Tensor, threshold: Tensor) -> tuple[Tensor, Tensor]:
    """How many whole thresholds a potential holds, and the remainder in ``[0, threshold)``.

    Elementwise, so that a neuron's step can use it. The quotient is rounded: near a multiple of
    the threshold ``v - floor(v / threshold) threshold`` may come out just below 0 or at the
    threshold itself. Both are the multiple.

    Args:
        potential: at least 0; threshold: above 0.
    """
    whole = torch.floor(potential / threshold)
    rest = potential - whole * threshold
    full = rest >= threshold
    return whole + full.to(whole.dtype), torch.where(full | (rest < 0), 0.0, rest)


def modulo_scan(increment: Tensor, start: Tensor, threshold: Tensor, form: str | None = None) -> tuple[Tensor, Tensor]:
    """The potentials before the reset for all steps at once, and the remainder after the last.

    In backward the remainder is a constant: a potential passes its gradient to the increment of
    its own step alone.

    Args:
        increment: ``[T, *site]``, at least 0.
        start: ``r[-1]``, broadcasts to a step, in [0, threshold).
        threshold: broadcasts to a step, above 0.
        form: loop, float64, associative or chunked; ``None`` asks :func:`.choose_form`.

    Returns:
        v ``[T, *site]`` and the last remainder, in [0, threshold), of one step's shape.

    Example:
        >>> v, rest = modulo_scan(torch.full((3, 1), 0.75), torch.zeros(1), torch.tensor(1.0))
        >>> v.flatten().tolist(), rest.item()
        ([0.75, 1.5, 1.25], 0.25)
    """
    form = form or planned_form("modulo", increment)[0]
    check_form("modulo", form)
    return _ModuloScan.apply(increment, start, threshold, form)  # type: ignore[no-any-return]


class _ModuloScan(torch.autograd.Function):
    @staticmethod
    def forward(increment: Tensor, start: Tensor, threshold: Tensor, form: str) -> tuple[Tensor, Tensor]:
        start, threshold = (t.to(increment.dtype) for t in (start, threshold))
        return _FORMS[form](increment, start.expand(increment.shape[1:]), threshold)

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: tuple[Tensor, Tensor]) -> None:
        ctx.mark_non_differentiable(output[1])

    @staticmethod
    def backward(ctx: Any, gradient: Tensor, _: Tensor) -> tuple[Tensor, None, None, None]:  # type: ignore[override]
        return gradient, None, None, None


def _loop(increment: Tensor, start: Tensor, threshold: Tensor) -> tuple[Tensor, Tensor]:
    rest, found = start, []
    for step in increment.unbind(0):
        potential = rest + step
        rest = whole_thresholds(potential, threshold)[1]
        found.append(potential)
    return torch.stack(found), rest


def _float64(increment: Tensor, start: Tensor, threshold: Tensor) -> tuple[Tensor, Tensor]:
    level = threshold.double()
    total = torch.cumsum(increment.double(), 0).add_(start)
    rest = whole_thresholds(total[-1], level)[1].to(increment.dtype)
    whole = torch.div(total, level).floor_()
    total[1:].addcmul_(whole[:-1], level, value=-1)
    below = torch.nextafter(threshold, torch.zeros_like(threshold))  # rounding must not reach the threshold
    return total.clamp_(min=0).to(increment.dtype), torch.minimum(rest, below)


def _associative(increment: Tensor, start: Tensor, threshold: Tensor) -> tuple[Tensor, Tensor]:
    """Doubling: after k passes an element holds the remainder of its last 2 ** k increments."""
    rest = torch.fmod(torch.cat([(start + increment[0]).unsqueeze(0), increment[1:]]), threshold)
    shift = 1
    while shift < len(rest):
        rest[shift:] = _add(rest[shift:], rest[:-shift], threshold)
        shift *= 2
    return _potentials(increment, start, rest)


def _chunked(increment: Tensor, start: Tensor, threshold: Tensor) -> tuple[Tensor, Tensor]:
    """Serial in all chunks side by side, then serial over their ends, then added."""
    steps, site = len(increment), increment.shape[1:]
    chunk = math.isqrt(steps - 1) + 1
    count = -(-steps // chunk)
    rest = torch.fmod(increment, threshold)
    rest = functional.pad(rest, (0, 0) * len(site) + (0, count * chunk - steps)).reshape(count, chunk, *site)
    for q in range(1, chunk):
        rest[:, q] = _add(rest[:, q - 1], rest[:, q], threshold)
    before = [torch.fmod(start, threshold)]
    for end in rest[:-1, -1]:
        before.append(_add(before[-1], end, threshold))
    rest = _add(rest, torch.stack(before).unsqueeze(1), threshold)
    return _potentials(increment, start, rest.flatten(0, 1)[:steps])


def _add(a: Tensor, b: Tensor, threshold: Tensor) -> Tensor:
    """``(a + b) mod threshold`` of two remainders; exact but for the rounding of the sum."""
    total = a + b
    return torch.where(total >= threshold, total - threshold, total)


def _potentials(increment: Tensor, start: Tensor, rest: Tensor) -> tuple[Tensor, Tensor]:
    return torch.cat([start.unsqueeze(0), rest[:-1]]) + increment, rest[-1].clone()


_FORMS = {"loop": _loop, "float64": _float64, "associative": _associative, "chunked": _chunked}
