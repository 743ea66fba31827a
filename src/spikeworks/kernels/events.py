"""Products with spikes: few of them are 1, so rows of weights are added where one is.

``y = x W' + b`` adds, for each step and sequence, the weights of the neurons that fired, and
the gradient of W adds the gradients of the steps in which a neuron fired. Both read the spikes
as bits, which is also all that waits for the backward pass. Above a rate at which a dense
product is as fast, the product is torch's; the bits are kept all the same.
"""

from __future__ import annotations

import ctypes
import functools
import itertools
import logging
from typing import Any, Literal

import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensor
from torch.autograd.function import once_differentiable
from torch.nn import functional

from ..core.errors import KernelError, ShapeError
from . import build
from .events_c import ALIGN, source
from .packing import BITS_OF_A_BYTE, Packed, unpack_into
from .pages import keep_pages
from .policy import requested
from .threads import in_threads, workers_for

log = logging.getLogger(__name__)

Product = Literal["forward", "weight", "input"]
Choice = Literal["events", "dense"]

CROSSOVER: dict[Product, float] = {"forward": 0.35, "weight": 0.4, "input": 0.25}
"""Rates up to which adding rows is chosen.

A dense product does two multiply-adds a cycle on each vector lane; adding rows is bound by the
one load it needs from the second-level cache. That ratio, and with it the crossover, is much
the same on all processors with vectors, so it is a constant: timing it at the start would make
results depend on what else the machine did. ``benchmarks/bench_events.py`` found 0.44 and more
forward, 0.48 and more for the weights and 0.32 to 0.42 for the input, on a Xeon with AVX-512,
float32 and one thread; the constants stay below."""
NARROW = 64
"""Fewest outputs for which inner products over them, where they are wanted, save anything."""
FEWEST_ROWS, FEWEST_WORK = 256, 1 << 25
"""Rows, and rows times inputs times outputs, below which all is left to torch.

A node of Python and turning the weights cost what a dense product of that size needs for a
twentieth of its work, and the floats of so few spikes are no burden."""
COLUMNS_OF_A_THREAD, WORD = 64, 64
"""Fewest outputs that a thread takes of a gradient of weights, and the number of inputs that are not parted."""
STREAM_FROM = 32 << 20
"""Bytes from which a result is written past the caches, which it would only pass through: each
line is then not read before it is written, which more than halves the time of the product."""
CHUNK_VALUES = 1 << 18
"""Values that each thread unpacks at a time for a dense product: 1 MiB in float32, which stays in its cache."""


# -- the products ------------------------------------------------------------------------------


def choose(rate: float, inputs: int, outputs: int, product: Product = "forward") -> Choice:
    """Whether to add rows or to multiply, for spikes of a rate.

    Args:
        rate: the part of the values that is 1; of the bits of ``active`` for the input gradient.
        inputs, outputs: of the weights.
        product: ``x W'``, the gradient of W, or that of x.
    """
    limit = 0.0 if product == "input" and outputs < NARROW else CROSSOVER[product]
    return "events" if rate <= limit else "dense"


def applies(x: Tensor, weight: Tensor) -> bool:
    """Whether :func:`spike_linear` may take ``x``: it has work enough, and C kernels are wanted and can run.

    Args:
        x: ``[T, B, ...]``, of any values.
        weight: ``[outputs, inputs]``.
    """
    if _watched(x):
        return False
    rows = x.shape[:2].numel()
    return (
        rows >= FEWEST_ROWS
        and rows * weight.numel() >= FEWEST_WORK
        and x.shape[2:].numel() == weight.shape[1]
        and weight.shape[1] % BITS_OF_A_BYTE == 0
        and x.dtype == weight.dtype
        and x.device.type == weight.device.type == "cpu"
        and not torch.is_autocast_enabled("cpu")
        and requested() in ("auto", "c")
        and _library(x.dtype) is not None
    )


def _watched(x: Tensor) -> bool:
    """Whether torch records or transforms what happens to ``x``, which needs its own operations."""
    return (
        torch.compiler.is_compiling()
        or torch.jit.is_tracing()  # type: ignore[attr-defined]
        or torch._C._functorch.is_functorch_wrapped_tensor(x)  # type: ignore[attr-defined]
        or type(x) not in (Tensor, torch.nn.Parameter, FakeTensor)
    )


def spike_linear(
    x: Tensor, packed: Packed, weight: Tensor, bias: Tensor | None, *, active: Packed | None = None
) -> Tensor:
    """``functional.linear(x, weight, bias)`` for spikes whose bits are known; keeps the bits for backward, not ``x``.

    Args:
        x: zeros and ones ``[T, B, ...]``, float32 or float64 on the CPU; the axes behind the
            second count as ``inputs`` together, a multiple of 8.
        packed: the bits of ``x``.
        weight: ``[outputs, inputs]``; bias: ``[outputs]`` or ``None``.
        active: bits of the shape of ``x``. Where one is not set the gradient of ``x`` is not
            needed and may come out as zero, for instance because a surrogate derivative that is
            zero multiplies it next.

    Returns:
        ``[T, B, outputs]``.

    Raises:
        ShapeError: bits or weights do not fit ``x``.
        KernelError: no kernel takes this dtype or device.
    """
    inputs = x.shape[2:].numel()
    for bits in (packed, active):
        if bits is not None and bits.shape != x.shape:
            raise ShapeError(f"Spikes of shape {list(x.shape)} came with bits of shape {list(bits.shape)}.")
    if weight.shape[1] != inputs or inputs % BITS_OF_A_BYTE:
        raise ShapeError(
            f"A product with bits expected [T, B, {weight.shape[1]}] with whole bytes a row, got {list(x.shape)}."
        )
    if x.dtype != weight.dtype or _library(x.dtype) is None:
        raise KernelError(f"No kernel adds rows of {weight.dtype} for spikes of {x.dtype} here.", "use a linear layer")
    needs = torch.is_grad_enabled() and any(t is not None and t.requires_grad for t in (x, weight, bias))
    if not needs:
        return _forward(x, weight, bias, packed)
    return _SpikeLinear.apply(x, weight, bias, packed, active)  # type: ignore[return-value]


class _SpikeLinear(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, packed: Packed, active: Packed | None
    ) -> Tensor:
        ctx.shape, ctx.rate = x.shape, packed.rate
        ctx.active_rate = None if active is None else active.rate
        held = weight if ctx.needs_input_grad[0] else None
        ctx.save_for_backward(packed.bits, held, None if active is None else active.bits)
        return _forward(x, weight, bias, packed)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gy: Tensor) -> Any:
        bits, weight, active = ctx.saved_tensors
        inputs, outputs = ctx.shape[2:].numel(), gy.shape[-1]
        g = gy.reshape(-1, outputs).contiguous()
        needs_x, needs_weight, needs_bias = ctx.needs_input_grad[:3]
        gx = gw = gb = None
        if needs_x and active is not None and choose(ctx.active_rate, inputs, outputs, "input") == "events":
            gx = masked_gradient(active, g, weight).reshape(ctx.shape)
        elif needs_x:
            gx = (g @ weight).reshape(ctx.shape)
        if needs_weight and choose(ctx.rate, inputs, outputs, "weight") == "events":
            gw, gb = weight_gradient(bits, g, inputs)
        else:
            gw = dense_weight_gradient(bits, g, inputs) if needs_weight else None
            gb = g.sum(0) if needs_bias else None
        return gx, gw, gb if needs_bias else None, None, None


def _forward(x: Tensor, weight: Tensor, bias: Tensor | None, packed: Packed) -> Tensor:
    outputs, inputs = weight.shape
    if choose(packed.rate, inputs, outputs) == "dense":
        return functional.linear(x.flatten(2), weight, bias)
    return selected_sum(packed.bits, weight, bias).reshape(*x.shape[:2], outputs)


def selected_sum(bits: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """``bias`` and the columns of ``weight [outputs, inputs]`` that each row of bits selects: ``[rows, outputs]``."""
    outputs, inputs = weight.shape
    turned, stride = _turned(weight)
    start = weight.new_zeros(stride)
    if bias is not None:
        start[:outputs] = bias
    rows = len(bits) * BITS_OF_A_BYTE // inputs
    y = weight.new_empty(rows, outputs)
    call, row_bytes = _kernels(weight.dtype).forward, inputs // BITS_OF_A_BYTE
    addresses = bits.data_ptr(), turned.data_ptr(), start.data_ptr(), y.data_ptr()
    stream = y.nbytes >= STREAM_FROM and outputs == stride and y.data_ptr() % 64 == 0

    def part(first: int, last: int) -> None:
        _succeeded(call(row_bytes, outputs, stride, *addresses, stream, first, last))

    in_threads(part, rows, work=y.numel(), align=16)
    return y


def weight_gradient(bits: Tensor, g: Tensor, inputs: int) -> tuple[Tensor, Tensor]:
    """Gradients ``[outputs, inputs]`` of the weights and ``[outputs]`` of the bias from ``g [rows, outputs]``.

    Every number is summed by one thread over all rows in order, so the result does not depend
    on how many threads there are.
    """
    rows, outputs = g.shape
    stride = _padded(outputs)
    gw, gb = g.new_zeros(inputs * stride), g.new_zeros(stride)
    library, row_bytes = _kernels(g.dtype), inputs // BITS_OF_A_BYTE
    addresses = bits.data_ptr(), g.data_ptr(), gw.data_ptr()
    work = g.numel()
    pieces = _rectangles(stride, inputs, workers_for(work))

    def part(first: int, last: int) -> None:
        for c0, c1, j0, j1 in pieces[first:last]:
            total = gb.data_ptr() if j0 == 0 else None
            _succeeded(library.gather(rows, row_bytes, outputs, stride, *addresses, total, c0, c1, j0, j1))

    in_threads(part, len(pieces), work=work)
    weight = g.new_empty(outputs, inputs)
    library.turn_back(inputs, outputs, stride, weight.data_ptr(), gw.data_ptr())
    return weight, gb[:outputs]


def dense_weight_gradient(bits: Tensor, g: Tensor, inputs: int) -> Tensor:
    """The gradient of the weights by dense products with a few unpacked rows at a time."""
    rows, outputs = g.shape
    chunk, row_bytes = max(1, torch.get_num_threads() * CHUNK_VALUES // inputs), inputs // BITS_OF_A_BYTE
    x, gw = g.new_empty(min(rows, chunk), inputs), g.new_zeros(inputs, outputs)
    for first in range(0, rows, chunk):
        last = min(rows, first + chunk)
        part = unpack_into(bits[first * row_bytes : last * row_bytes], x[: last - first])
        gw.addmm_(part.t(), g[first:last])
    return gw.t().contiguous()


def masked_gradient(active: Tensor, g: Tensor, weight: Tensor) -> Tensor:
    """``g @ weight`` where a bit of ``active`` is set, zero elsewhere: ``[rows, inputs]``."""
    outputs, inputs = weight.shape
    turned, stride = _turned(weight)
    gx = g.new_empty(len(g), inputs)
    call, row_bytes = _kernels(g.dtype).masked, inputs // BITS_OF_A_BYTE
    addresses = active.data_ptr(), turned.data_ptr(), g.data_ptr(), gx.data_ptr()

    def part(first: int, last: int) -> None:
        _succeeded(call(row_bytes, outputs, stride, *addresses, first, last))

    in_threads(part, len(g), work=gx.numel(), align=16)
    return gx


def _padded(outputs: int) -> int:
    return -(-outputs // ALIGN) * ALIGN


def _turned(weight: Tensor) -> tuple[Tensor, int]:
    """One row of weights for each input, in panels as the kernels want them, and how many columns they have in all."""
    outputs, inputs = weight.shape
    stride = _padded(outputs)
    panels, weight = weight.new_empty(inputs * stride), weight.detach().contiguous()
    _kernels(weight.dtype).turn(inputs, outputs, stride, weight.data_ptr(), panels.data_ptr())
    return panels, stride


def _rectangles(stride: int, inputs: int, workers: int) -> list[tuple[int, int, int, int]]:
    """Columns and inputs of the weights for each thread; columns first, because they part the reading of ``g``."""
    wide = min(workers, -(-stride // COLUMNS_OF_A_THREAD))
    high = max(1, min(workers // wide, inputs // WORD))
    columns = [*range(0, stride, -(-stride // wide // ALIGN) * ALIGN), stride]
    places = [*range(0, inputs, -(-inputs // high // WORD) * WORD), inputs]
    return [(c0, c1, j0, j1) for c0, c1 in itertools.pairwise(columns) for j0, j1 in itertools.pairwise(places)]


# -- the library ---------------------------------------------------------------------------------


def _succeeded(failed: int) -> None:
    if failed:
        raise MemoryError("an event-driven product could not allocate its scratch space")


def _kernels(dtype: torch.dtype) -> ctypes.CDLL:
    library = _library(dtype)
    assert library is not None  # callers asked before
    return library


def _library(dtype: torch.dtype) -> ctypes.CDLL | None:
    """The C kernels, or ``None`` where there are none for this type or no compiler."""
    if dtype not in (torch.float32, torch.float64) or isinstance(build.working_flags(), str):
        return None
    return _built(dtype)


@functools.lru_cache(maxsize=2)
def _built(dtype: torch.dtype) -> ctypes.CDLL | None:
    keep_pages()
    try:
        return declared(build.load(source(dtype)))
    except KernelError as error:
        log.warning("spikes are multiplied by dense products: %s", error)
        return None


def declared(library: ctypes.CDLL) -> ctypes.CDLL:
    """The library with the types of its functions."""
    size, address = ctypes.c_int64, ctypes.c_void_p
    library.forward.argtypes = [size, size, size, *[address] * 4, ctypes.c_int, size, size]
    library.gather.argtypes = [size, size, size, size, *[address] * 4, size, size, size, size]
    library.masked.argtypes = [size, size, size, *[address] * 4, size, size]
    for call in (library.turn, library.turn_back):
        call.argtypes, call.restype = [size, size, size, address, address], None
    for call in (library.forward, library.gather, library.masked):
        call.restype = ctypes.c_int
    return library
