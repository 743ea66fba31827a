"""Run a fused step on tensors: one autograd node for a whole sequence."""

from __future__ import annotations

import ctypes
import dataclasses
import functools
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from ..core.errors import KernelError
from . import build
from .emit_c import Tiling, choose_tiling, emit_c
from .pages import keep_pages
from .trace import TracedStep

DTYPES = (torch.float32, torch.float64)
PARALLEL_FROM = 1 << 15
"""Neuron-steps below which a second thread costs more than it saves."""


@dataclasses.dataclass(frozen=True, eq=False)
class FusedStep:
    """A traced step with C kernels for one dtype, built when first needed.

    Example:
        ``FusedStep(trace_step(step, 1, 2), torch.float32)([x], [None], [decay, threshold])``
    """

    traced: TracedStep
    dtype: torch.dtype

    @property
    def tiling(self) -> Tiling:
        """Block and chunk used by the kernels."""
        return choose_tiling(self.traced, self.dtype.itemsize)

    def source(self, parameter_gradients: tuple[int, ...] = ()) -> str:
        """The C text, with gradients for the given parameters."""
        return _source(self, parameter_gradients)

    def __call__(
        self, inputs: Sequence[Tensor], states: Sequence[Tensor | None], parameters: Sequence[Tensor]
    ) -> tuple[Tensor, tuple[Tensor, ...]]:
        """Run the whole sequence.

        Args:
            inputs: ``[T, M]`` each, contiguous.
            states: one ``[M]`` tensor a state, or ``None`` for zero.
            parameters: one tensor a parameter, a scalar ``[]`` or ``[M]``.

        Returns:
            The outputs ``[T, M]`` and the states after the last step, ``[M]`` each.
        """
        for p in parameters:
            if p.dim() > 1 or (p.dim() == 1 and p.shape[0] != inputs[0].shape[1]):
                raise KernelError(f"A parameter has shape {list(p.shape)}, expected [] or [{inputs[0].shape[1]}].")
        y, *end = _Fused.apply(self, *inputs, *states, *parameters)  # type: ignore[misc]
        return y, tuple(end)


class _Fused(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, fused: FusedStep, *tensors: Tensor | None) -> Any:
        first_state = fused.traced.inputs
        first_parameter = first_state + fused.traced.states
        inputs = [x for x in tensors[:first_state] if x is not None]
        states, parameters = tensors[first_state:first_parameter], tensors[first_parameter:]
        x = inputs[0]
        steps, neurons = x.shape
        wanted = tuple(k for k, p in enumerate(parameters) if ctx.needs_input_grad[1 + first_parameter + k])
        differentiate = any(ctx.needs_input_grad)
        chunk = fused.tiling.chunk
        borders = x.new_empty((-(-steps // chunk), len(states), neurons)) if differentiate else None
        y = torch.empty_like(x)
        end = [x.new_empty(neurons) for _ in states]
        held = [None if s is None else s.contiguous() for s in states]
        values = [p.detach().contiguous() for p in parameters if p is not None]
        library = library_of(fused, wanted)

        def part(first: int, last: int) -> None:
            library.forward(
                neurons, steps, pointers(inputs), pointers(values), flags(values), pointers(held),
                pointer(y), None, pointers(end), pointer(borders), first, last,
            )  # fmt: skip

        _in_threads(part, steps, neurons)
        if differentiate:
            ctx.fused, ctx.wanted = fused, wanted
            ctx.save_for_backward(borders, *inputs, *values)
        return (y, *end)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gy: Tensor | None, *gend: Tensor | None) -> Any:
        fused: FusedStep = ctx.fused
        first_state = fused.traced.inputs
        first_parameter = first_state + fused.traced.states
        borders, *saved = ctx.saved_tensors
        inputs, values = saved[:first_state], saved[first_state:]
        x = inputs[0]
        steps, neurons = x.shape
        gy = torch.zeros_like(x) if gy is None else gy.contiguous()
        gend_held = [None if g is None else g.contiguous() for g in gend]
        gx = [torch.empty_like(x) for _ in inputs]
        needs_state = ctx.needs_input_grad[1 + first_state : 1 + first_parameter]
        grest = [x.new_empty(neurons) if needed else None for needed in needs_state]
        totals = [x.new_empty(neurons) for _ in ctx.wanted]
        library = library_of(fused, ctx.wanted)

        def part(first: int, last: int) -> None:
            failed = library.backward(
                neurons, steps, pointers(inputs), pointers(values), flags(values), pointer(borders),
                pointer(gy), pointers(gend_held), pointers(gx), pointers(grest), pointers(totals),
                0, first, last,
            )  # fmt: skip
            if failed:
                raise MemoryError("the backward kernel could not allocate its scratch space")

        _in_threads(part, steps, neurons)
        gparameters: list[Tensor | None] = [None] * len(values)
        for slot, k in enumerate(ctx.wanted):
            gparameters[k] = totals[slot] if values[k].dim() else totals[slot].sum()
        return (None, *gx, *grest, *gparameters)


@functools.lru_cache(maxsize=256)
def _source(fused: FusedStep, wanted: tuple[int, ...]) -> str:
    return emit_c(fused.traced, fused.dtype, fused.tiling, wanted)


@functools.lru_cache(maxsize=256)
def library_of(fused: FusedStep, wanted: tuple[int, ...]) -> ctypes.CDLL:
    """The compiled kernels of a step, with gradients for the wanted parameters."""
    keep_pages()
    library = build.load(_source(fused, wanted))
    size, address = ctypes.c_int64, ctypes.c_void_p
    library.forward.argtypes = [size, size, *[address] * 8, size, size]
    library.forward.restype = None
    library.backward.argtypes = [size, size, *[address] * 9, ctypes.c_int32, size, size]
    library.backward.restype = ctypes.c_int
    return library


def pointer(tensor: Tensor | None) -> int | None:
    """Address of the first element."""
    return None if tensor is None else tensor.data_ptr()


def pointers(tensors: Sequence[Tensor | None]) -> Any:
    """An array of addresses for C."""
    # one entry more than needed: an array of length zero has no address
    return (ctypes.c_void_p * (len(tensors) + 1))(*map(pointer, tensors))


def rows(tensor: Tensor, offset: int) -> Any:
    """An array of one address, ``offset`` bytes into a tensor."""
    return (ctypes.c_void_p * 1)(tensor.data_ptr() + offset)


def flags(values: Sequence[Tensor]) -> Any:
    """For each parameter, whether it has one value a neuron."""
    return (ctypes.c_int32 * (len(values) + 1))(*[int(v.dim() > 0) for v in values])


@functools.lru_cache(maxsize=4)
def _pool(workers: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(workers, thread_name_prefix="spikeworks-kernel")


if hasattr(os, "register_at_fork"):  # a forked child inherits the pool, but not its threads
    os.register_at_fork(after_in_child=_pool.cache_clear)


def _in_threads(part: Callable[[int, int], None], steps: int, neurons: int) -> None:
    """Call ``part(first, last)`` over all neurons, in as many threads as torch uses."""
    workers = min(torch.get_num_threads(), steps * neurons // PARALLEL_FROM, neurons // 16)
    if workers <= 1:
        part(0, neurons)
        return
    # cuts at multiples of 16 keep vectors whole and cache lines apart
    cuts = [round(neurons * w / workers / 16) * 16 for w in range(workers)] + [neurons]
    pending = [_pool(workers - 1).submit(part, cuts[w], cuts[w + 1]) for w in range(1, workers)]
    part(cuts[0], cuts[1])
    for future in pending:
        future.result()
