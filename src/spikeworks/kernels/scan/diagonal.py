"""Diagonal linear systems: complex modes driven by one input and read as one output.

``z_k[t] = decay_k z_k[t-1] + x[t]``, ``h[t] = Re(sum_k read_k z_k[t])``. Because only h is wanted,
the K modes need not be kept: their sum is one convolution, with the kernel
``Re(sum_k read_k decay_k ** t)``. Costs of one site (see :mod:`.lanes` for the letters):

===========  ================  ========================  =================================================
form         operations        passes after each other   memory above the result
===========  ================  ========================  =================================================
loop         T K               T                         T K
associative  T K log2 T        log2 T                    T K
chunked      T (Q + 4 K)       6 + those of T / Q steps  the input once, K T / Q, Q Q for a group of sites
direct       T (T + 4 K)       4                         the input once, T T for a group of sites
fft          T log2 T + 4 T K  8                         4 to 6 arrays, K T for a group of sites
===========  ================  ========================  =================================================
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from .forms import CHUNK, check_form, planned_form
from .lanes import Lanes, fast_length, powers, product, toeplitz
from .linear import linear_scan

Result = tuple[Tensor, Tensor]


def diagonal_scan(x: Tensor, decay: Tensor, read: Tensor, start: Tensor, form: str | None = None) -> Result:
    """The read-out of K complex modes for all steps at once, and the modes after the last step.

    Args:
        x: ``[T, *site]``, real.
        decay: ``[K, ...]``, complex, its rest broadcasts to a step; at most 1 in modulus.
        read: of the shape of ``decay``.
        start: modes before the first step, ``[K, *site]``.
        form: loop, associative, chunked, direct or fft; ``None`` asks :func:`.choose_form`.

    Returns:
        h ``[T, *site]`` and the modes ``[K, *site]``, both with gradients.

    Raises:
        ShapeError: coefficients do not broadcast to a step; UnknownName: no such form.
    """
    lanes = Lanes.of(x.shape[1:], decay.shape[1:])
    form = form or planned_form("diagonal", x)[0]
    check_form("diagonal", form)
    with torch.autocast(x.device.type, enabled=False):  # it would round the products to half precision
        if form == "fft":
            return _fft(lanes, x, decay, read, start)
        if form in ("chunked", "direct"):
            return _chunked(lanes, x, decay, read, start, CHUNK if form == "chunked" else len(x))
        return _by_modes(lanes, x, decay, read, start, form)


def _by_modes(lanes: Lanes, x: Tensor, decay: Tensor, read: Tensor, start: Tensor, form: str) -> Result:
    """All modes at all steps, then their sum."""
    between = (1,) * (x.dim() - decay.dim())
    decay, read = (c.reshape(len(c), *between, *c.shape[1:]) for c in (decay, read))
    modes = linear_scan(x.unsqueeze(1).expand(-1, *start.shape), decay, start, form)
    return (read * modes).real.sum(1), modes[-1]


def _chunked(lanes: Lanes, x: Tensor, decay: Tensor, read: Tensor, start: Tensor, chunk: int) -> Result:
    """Inside a chunk one triangular product; between chunks the modes alone are handed on."""
    steps, site = len(x), x.shape[1:]
    count = -(-steps // chunk)
    table = powers(decay, chunk + 1)
    padded = functional.pad(x, (0, 0) * (x.dim() - 1) + (0, count * chunk - steps))
    # [D, Q, C, M]; contiguous, so that all products share and keep this one copy
    columns = lanes.split(padded.reshape(count, chunk, *site).transpose(0, 1)).contiguous()

    before = lanes.split(start).unsqueeze(0)  # [C, D, K, M], modes at the start of each chunk
    if count > 1:
        gathered = _gather(lanes, table[:chunk], columns[:, :, :-1])
        reach = lanes.coefficient(table[chunk], 1).unsqueeze(-1)
        scan = "loop" if count - 1 <= chunk else "associative"
        before = torch.cat([before, linear_scan(gathered.permute(2, 0, 1, 3), reach, before[0], scan)])
    rest = steps - (count - 1) * chunk
    last = lanes.coefficient(table[rest], 1).unsqueeze(-1) * before[-1]
    last = last + _gather(lanes, table[:rest], columns[:, :rest, -1:]).squeeze(2)

    kernel = toeplitz(lanes.coefficient((read * table[:chunk]).real.sum(1), 1))
    h = product(kernel, columns.flatten(2)).view_as(columns)
    h = h + _echo(lanes, read * table[1:], before.permute(1, 2, 0, 3))
    return lanes.join(h.transpose(1, 2)).reshape(count * chunk, *site)[:steps], lanes.join(last)


def _gather(lanes: Lanes, table: Tensor, columns: Tensor) -> Tensor:
    """What the inputs ``[D, Q, C, M]`` leave in the modes, ``[D, K, C, M]``; ``table [Q, K, ...]``."""
    weight = lanes.coefficient(table.flip(0), 2).mT  # [D, K, Q]
    parts = product(torch.cat([weight.real, weight.imag], 1), columns.flatten(2))
    real, imag = parts.unflatten(2, columns.shape[2:]).chunk(2, 1)
    return torch.complex(real, imag)


def _echo(lanes: Lanes, table: Tensor, modes: Tensor) -> Tensor:
    """What modes ``[D, K, C, M]`` add to h in the Q steps after them, ``[D, Q, C, M]``; ``table [Q, K, ...]``."""
    weight = lanes.coefficient(table, 2)
    parts = product(torch.cat([weight.real, -weight.imag], 2), torch.cat([modes.real, modes.imag], 1).flatten(2))
    return parts.unflatten(2, modes.shape[2:])


def _fft(lanes: Lanes, x: Tensor, decay: Tensor, read: Tensor, start: Tensor) -> Result:
    """One convolution of the whole input."""
    steps, length = len(x), fast_length(2 * len(x) - 1)
    table = powers(decay, steps + 1)
    kernel = lanes.coefficient((read * table[:steps]).real.sum(1), 1).unsqueeze(1)  # [D, 1, T]
    columns = lanes.split(x).contiguous()  # [D, T, M]
    spectrum = torch.fft.rfft(columns.mT, length) * torch.fft.rfft(kernel, length)
    h = torch.fft.irfft(spectrum, length)[..., :steps].mT
    begin = lanes.split(start).unsqueeze(2)
    h = h + _echo(lanes, read * table[1:], begin).squeeze(2)
    last = lanes.coefficient(table[steps], 1).unsqueeze(-1) * begin.squeeze(2)
    last = last + _gather(lanes, table[:steps], columns.unsqueeze(2)).squeeze(2)
    return lanes.join(h), lanes.join(last)
