"""Linear recurrences: ``h[t] = decay * h[t-1] + x[t]``, real or complex.

All forms compute the same; costs for T steps of a site (see :mod:`.lanes` for the letters):

===========  ==========  ========================  ===================================
form         operations  passes after each other   memory above the result
===========  ==========  ========================  ===================================
loop         T           T                         none
associative  T log2 T    log2 T                    one array
chunked      T Q         3 + those of T / Q steps  one array, Q Q for a group of sites
direct       T T         1                         T T for a group of sites
fft          T log2 T    3                         spectra of twice the length
===========  ==========  ========================  ===================================

Errors of rounding follow the value itself, with ``fft`` the largest value of the sequence.
No form divides by powers of the decay, which vanish: a decay of 0 is exact. The decay should not
exceed 1 in modulus, else powers that no input needs may overflow.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from .forms import CHUNK, check_form, planned_form
from .lanes import Lanes, fast_length, powers, product, toeplitz, widened

Form = Callable[[Tensor, Tensor, Tensor], Tensor]


def linear_scan(x: Tensor, decay: Tensor, start: Tensor | None = None, form: str | None = None) -> Tensor:
    """``h[t] = decay * h[t-1] + x[t]`` for all t at once.

    Args:
        x: ``[T, *site]``, real or complex.
        decay: broadcasts to a step, for instance one a channel; at most 1 in modulus.
        start: ``h[-1]``, broadcasts to a step; ``None`` is 0.
        form: loop, associative, chunked, direct or fft; ``None`` asks
            :func:`.choose_form`.

    Returns:
        h, ``[T, *site]``, complex where one of the arguments is. Gradients, of any order, reach
        x, decay and start; backward is the scan with time reversed.

    Raises:
        ShapeError: decay does not broadcast to a step; UnknownName: no such form.

    Example:
        >>> linear_scan(torch.ones(4, 1), torch.tensor(0.5)).flatten().tolist()
        [1.0, 1.5, 1.75, 1.875]
    """
    form = form or planned_form("linear", x)[0]
    check_form("linear", form)
    Lanes.of(x.shape[1:], decay.shape)
    dtype = torch.promote_types(x.dtype, decay.dtype)
    dtype = dtype if start is None else torch.promote_types(dtype, start.dtype)
    begin = torch.zeros((), dtype=dtype, device=x.device) if start is None else start.to(dtype)
    return _LinearScan.apply(x.to(dtype), decay.to(dtype), begin, form)  # type: ignore[no-any-return]


class _LinearScan(torch.autograd.Function):
    @staticmethod
    def forward(x: Tensor, decay: Tensor, start: Tensor, form: str) -> Tensor:
        with torch.autocast(x.device.type, enabled=False):
            return _FORMS[form](x, decay, start.expand(x.shape[1:]))

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Tensor, Tensor, str], output: Tensor) -> None:
        _, decay, start, ctx.form = inputs
        ctx.save_for_backward(decay, start, output)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor | None, Tensor | None, None]:  # type: ignore[override]
        decay, start, h = ctx.saved_tensors
        adjoint = linear_scan(gradient.flip(0), decay.conj(), None, ctx.form).flip(0)
        to_decay = to_start = None
        if ctx.needs_input_grad[1]:
            before = torch.cat([start.expand(h.shape[1:]).unsqueeze(0), h[:-1]])
            to_decay = (adjoint * before.conj()).sum(0).sum_to_size(decay.shape)
        if ctx.needs_input_grad[2]:
            to_start = (decay.conj() * adjoint[0]).sum_to_size(start.shape)
        return adjoint, to_decay, to_start, None


def _loop(x: Tensor, decay: Tensor, start: Tensor) -> Tensor:
    now, found = start, []
    for x_t in x.unbind(0):
        now = decay * now + x_t
        found.append(now)
    return torch.stack(found)


def _associative(x: Tensor, decay: Tensor, start: Tensor) -> Tensor:
    """Doubling: after k passes an element holds its last 2 ** k inputs."""
    h = x.clone()
    h[0] += decay * start
    reach, shift = widened(decay), 1
    while shift < len(h):
        h[shift:] += reach.to(h.dtype) * h[:-shift]  # the product is complete before it is added
        reach, shift = reach * reach, 2 * shift
    return h


def _chunked(x: Tensor, decay: Tensor, start: Tensor, chunk: int = CHUNK) -> Tensor:
    """A triangular matrix inside chunks, and this function again for what they hand on."""
    steps, site = len(x), x.shape[1:]
    count = -(-steps // chunk)
    lanes = Lanes.of(site, decay.shape)
    table = lanes.coefficient(powers(decay, chunk + 1), 1)
    padded = functional.pad(x, (0, 0) * (x.dim() - 1) + (0, count * chunk - steps))
    columns = lanes.split(padded.reshape(count, chunk, *site).transpose(0, 1))  # [D, Q, C * M]
    columns = columns.reshape(len(table), chunk, -1)
    inside = product(toeplitz(table[:, :chunk]), columns).reshape(len(table), chunk, count, -1)
    before = lanes.split(start).unsqueeze(0)  # [C, D, M]
    if count > 1:
        ends = inside[:, -1, :-1].transpose(0, 1)
        scan = _chunked if count - 1 > chunk else _loop
        before = torch.cat([before, scan(ends, table[:, chunk].unsqueeze(1), before[0])])
    h = inside + table[:, 1:, None, None] * before.transpose(0, 1).unsqueeze(1)
    return lanes.join(h.transpose(1, 2)).reshape(count * chunk, *site)[:steps]


def _direct(x: Tensor, decay: Tensor, start: Tensor) -> Tensor:
    return _chunked(x, decay, start, len(x))


def _fft(x: Tensor, decay: Tensor, start: Tensor) -> Tensor:
    steps, length = len(x), fast_length(2 * len(x) - 1)
    table = powers(decay, steps + 1)
    table = table.reshape(len(table), *(1,) * (x.dim() - 1 - decay.dim()), *decay.shape)
    if x.is_complex():
        h = torch.fft.ifft(torch.fft.fft(x, length, 0) * torch.fft.fft(table[:steps], length, 0), length, 0)
    else:
        h = torch.fft.irfft(torch.fft.rfft(x, length, 0) * torch.fft.rfft(table[:steps], length, 0), length, 0)
    return h[:steps] + table[1:] * start


_FORMS: dict[str, Form] = {
    "loop": _loop,
    "associative": _associative,
    "chunked": _chunked,
    "direct": _direct,
    "fft": _fft,
}
