"""Causal filters over a window of steps: ``y[t] = sum_i taps[i] x[t - i]``.

Costs of one site for T steps and a window of K taps (see :mod:`.lanes` for the letters):

=======  ==========  =====================  ===============================================
form     operations  passes over the input  memory above the result
=======  ==========  =====================  ===============================================
shifted  T K         K                      the input once
chunked  T (K + Q)   3 + K / Q              the input once, Q (K + Q) for a group of sites
fft      T log2 T    8                      4 to 6 arrays
=======  ==========  =====================  ===============================================

A convolution of torch (one channel in, one out) is 3 to 20 times slower than the best of them on
a CPU, so it is no form here.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional

from .forms import CHUNK, check_form, planned_form
from .lanes import Lanes, fast_length, product


def causal_filter(x: Tensor, past: Tensor, taps: Tensor, form: str | None = None) -> Tensor:
    """Filter a sequence with its own past.

    Args:
        x: ``[T, *site]``.
        past: the ``K - 1`` inputs before x in order of time, ``[K - 1, *site]``.
        taps: ``[K, ...]``, its rest broadcasts to a step; ``taps[i]`` weighs the input i steps ago.
        form: shifted, chunked or fft; ``None`` asks :func:`.choose_form`.

    Returns:
        y ``[T, *site]``, with gradients for x, past and taps.

    Raises:
        ShapeError: taps do not broadcast to a step; UnknownName: no such form.

    Example:
        >>> x = torch.arange(4.0).reshape(4, 1)
        >>> causal_filter(x, torch.zeros(1, 1), torch.tensor([1.0, 10.0])).flatten().tolist()
        [0.0, 1.0, 12.0, 23.0]
    """
    lanes = Lanes.of(x.shape[1:], taps.shape[1:])
    form = form or planned_form("window", x, len(taps))[0]
    check_form("window", form)
    padded = torch.cat([past, x])
    with torch.autocast(x.device.type, enabled=False):  # it would round the products to half precision
        if form == "shifted":
            return _Shifted.apply(padded, taps.reshape(len(taps), *(1,) * (x.dim() - taps.dim()), *taps.shape[1:]))
        return _chunked(lanes, padded, taps) if form == "chunked" else _fft(lanes, padded, taps)


class _Shifted(torch.autograd.Function):
    """A sum of shifted inputs, without the K partial sums that autograd would keep."""

    @staticmethod
    def forward(padded: Tensor, taps: Tensor) -> Tensor:
        first, *others = _shifts(padded, taps)
        y = taps[0] * first
        for tap, part in zip(taps[1:], others, strict=True):
            y.addcmul_(tap, part)
        return y

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Tensor], output: Tensor) -> None:
        ctx.save_for_backward(*inputs)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor]:  # type: ignore[override]
        padded, taps = ctx.saved_tensors
        to_padded = torch.zeros_like(padded)
        for tap, part in zip(taps, _shifts(to_padded, taps), strict=True):
            part.addcmul_(tap, gradient)
        to_taps = [(gradient * part).sum_to_size(taps[0].shape) for part in _shifts(padded, taps)]
        return to_padded, torch.stack(to_taps)


def _shifts(padded: Tensor, taps: Tensor) -> list[Tensor]:
    """The input 0, 1, 2, ... steps ago, each ``[T, *site]``."""
    window, steps = len(taps), len(padded) - len(taps) + 1
    return [padded[window - 1 - i : window - 1 - i + steps] for i in range(window)]


def _chunked(lanes: Lanes, padded: Tensor, taps: Tensor, chunk: int = CHUNK) -> Tensor:
    """Each chunk of y is a sum of banded matrix products with the chunks of x that it reaches back to."""
    window, site = len(taps), padded.shape[1:]
    steps = len(padded) - window + 1
    back, count = -(-(window - 1) // chunk), -(-steps // chunk)
    margins = (back * chunk - window + 1, count * chunk - steps)
    columns = functional.pad(padded, (0, 0) * len(site) + margins).reshape(back + count, chunk, *site)
    columns = lanes.split(columns.transpose(0, 1)).contiguous()  # [D, Q, R + C, M], shared by all products
    column = functional.pad(lanes.coefficient(taps, 1), (chunk - 1, (back + 1) * chunk - window))
    matrices = column.unfold(1, chunk, 1).flip(2).unflatten(1, (back + 1, chunk))  # [D, R + 1, Q, Q]
    y = product(matrices[:, 0], columns[:, :, back:].flatten(2))
    for r in range(1, back + 1):
        y = y + product(matrices[:, r], columns[:, :, back - r : back - r + count].flatten(2))
    y = y.unflatten(2, (count, -1)).transpose(1, 2)
    return lanes.join(y).reshape(count * chunk, *site)[:steps]


def _fft(lanes: Lanes, padded: Tensor, taps: Tensor) -> Tensor:
    """A circular convolution: what wraps around falls on the first K - 1 steps, which are the past."""
    length = fast_length(len(padded))
    weights = torch.fft.rfft(lanes.coefficient(taps, 1).unsqueeze(1), length)
    y = torch.fft.irfft(torch.fft.rfft(lanes.split(padded).mT, length) * weights, length)
    return lanes.join(y[..., len(taps) - 1 : len(padded)].mT)
