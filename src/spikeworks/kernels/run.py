"""Run a fused step on tensors: one autograd node for a whole sequence.

The node calls two operators, ``spikeworks::fused`` and ``spikeworks::fused_backward``; what
runs C stands in them alone. An operator names its step by a key, a string, so that a compiled
graph can hold it.
"""

from __future__ import annotations

import ctypes
import dataclasses
import functools
import hashlib
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from ..core.errors import KernelError
from . import build
from .emit_c import Tiling, choose_tiling, emit_c
from .operators import differentiated_once, operator
from .pages import keep_pages
from .threads import in_threads
from .trace import TracedStep

DTYPES = (torch.float32, torch.float64)
"""What kernels compute in."""


@dataclasses.dataclass(frozen=True, eq=False)
class FusedStep:
    """A traced step with C kernels for one dtype, built when first needed.

    Attributes:
        traced, dtype: the step, float32 or float64.
        key: its name by content: equal steps share one, and with it their kernels.
        tiling: block and chunk used by the kernels.
        binary: whether the output is 0 or 1, whatever the input.

    Example:
        ``FusedStep(trace_step(step, 1, 2), torch.float32)([x], [None], [decay, threshold])``
    """

    traced: TracedStep
    dtype: torch.dtype
    key: str = dataclasses.field(init=False)
    tiling: Tiling = dataclasses.field(init=False)
    binary: bool = dataclasses.field(init=False)

    def __post_init__(self) -> None:
        known = {
            "key": hashlib.sha256(repr((self.traced, self.dtype)).encode()).hexdigest()[:32],
            "tiling": choose_tiling(self.traced, self.dtype.itemsize),
            "binary": self.traced.binary,
        }
        for name, value in known.items():
            object.__setattr__(self, name, value)
        _STEPS.setdefault(self.key, self)

    def source(self, parameter_gradients: tuple[int, ...] = ()) -> str:
        """The C text, with gradients for the given parameters."""
        return emit_c(self.traced, self.dtype, self.tiling, parameter_gradients)

    def __call__(
        self,
        inputs: Sequence[Tensor],
        states: Sequence[Tensor | None],
        parameters: Sequence[Tensor],
        window: int | None = None,
    ) -> tuple[Tensor, tuple[Tensor, ...]]:
        """Run the whole sequence.

        Args:
            inputs: ``[T, M]`` each.
            states: one ``[M]`` tensor a state, or ``None`` for zero.
            parameters: one tensor a parameter, a scalar ``[]`` or ``[M]``.
            window: no gradient passes from step t to the states before it where ``t % window == 0``.

        Returns:
            The outputs ``[T, M]`` and the states after the last step, ``[M]`` each.
        """
        return self.run(inputs, states, parameters, window)[:2]

    def run(
        self,
        inputs: Sequence[Tensor],
        states: Sequence[Tensor | None],
        parameters: Sequence[Tensor],
        window: int | None = None,
        pack: bool = False,
    ) -> tuple[Tensor, tuple[Tensor, ...], Tensor]:
        """As a call does; ``pack`` adds the outputs as bits, ``[T, M / 8]``, where M is a multiple of 8 (else none)."""
        neurons = inputs[0].shape[1]
        for p in parameters:
            if p.dim() > 1 or (p.dim() == 1 and p.shape[0] != neurons):
                raise KernelError(f"A parameter has shape {list(p.shape)}, expected [] or [{neurons}].")
        if needs_gradient(*inputs, *states, *parameters):
            counts, wanted, states = (len(inputs), len(states)), wanted_of(parameters), detached(states, window)
            y, bits, *end = _Fused.apply(self.key, counts, wanted, window, pack, *inputs, *states, *parameters)  # type: ignore[misc]
        else:
            y, end, _, bits = torch.ops.spikeworks.fused(inputs, states, parameters, self.key, (), False, pack)
        return y, tuple(end), bits


_STEPS: dict[str, FusedStep] = {}
"""All steps of the process by key. They stay: a compiled graph may outlive the module that it was
compiled from and holds the key alone. What differs from module to module is parameters, not
steps, so there are few."""


def step_of(key: str) -> FusedStep:
    """The step that a key names."""
    return _STEPS[key]


def needs_gradient(*tensors: Tensor | None) -> bool:
    """Whether autograd will ask for a gradient of any of the tensors."""
    return torch.is_grad_enabled() and any(t is not None and t.requires_grad for t in tensors)


def detached(states: Sequence[Tensor | None], window: int | None) -> Sequence[Tensor | None]:
    """The states before the first step, as a gradient may reach them."""
    return states if window is None else [None if s is None else s.detach() for s in states]


def wanted_of(parameters: Sequence[Tensor]) -> tuple[int, ...]:
    """Indices of the parameters that need a gradient."""
    return tuple(k for k, p in enumerate(parameters) if p.requires_grad)


def summed(totals: Sequence[Tensor], parameters: Sequence[Tensor], wanted: Sequence[int]) -> list[Tensor | None]:
    """Gradients of all parameters from those of the wanted ones, ``[M]`` each; a scalar gets the sum."""
    found: list[Tensor | None] = [None] * len(parameters)
    for total, k in zip(totals, wanted, strict=True):
        found[k] = total if parameters[k].dim() else total.sum()
    return found


class _Fused(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        key: str,
        counts: tuple[int, int],
        wanted: tuple[int, ...],
        window: int | None,
        pack: bool,
        *tensors: Any,
    ) -> Any:
        first_state, states = counts
        first_parameter = first_state + states
        inputs, parameters = tensors[:first_state], tensors[first_parameter:]
        y, end, borders, bits = torch.ops.spikeworks.fused(
            inputs, tensors[first_state:first_parameter], parameters, key, wanted, True, pack
        )
        ctx.mark_non_differentiable(bits)
        ctx.key, ctx.counts, ctx.wanted, ctx.window = key, counts, wanted, window
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(borders, *inputs, *parameters)
        return (y, bits, *end)

    @staticmethod
    @differentiated_once
    def backward(ctx: Any, gy: Tensor | None, _: None, *gend: Tensor | None) -> Any:
        first_state, states = ctx.counts
        borders, *saved = ctx.saved_tensors
        inputs, parameters = saved[:first_state], saved[first_state:]
        gy = torch.zeros_like(inputs[0]) if gy is None else gy
        gx, grest, totals = torch.ops.spikeworks.fused_backward(
            inputs, parameters, borders, gy, gend, ctx.key, ctx.wanted, ctx.window or 0
        )
        needed = ctx.needs_input_grad[5 + first_state : 5 + first_state + states]
        grest = [g if n else None for g, n in zip(grest, needed, strict=True)]
        return (None, None, None, None, None, *gx, *grest, *summed(totals, parameters, ctx.wanted))


def _forward_results(
    inputs: Sequence[Tensor],
    states: Sequence[Tensor | None],
    parameters: Sequence[Tensor],
    key: str,
    wanted: Sequence[int],
    differentiate: bool,
    pack: bool,
) -> tuple[Tensor, list[Tensor], Tensor, Tensor]:
    x = inputs[0]
    steps, neurons = x.shape
    chunks = -(-steps // step_of(key).tiling.chunk) if differentiate else 0
    end = [x.new_empty(neurons) for _ in states]
    borders = x.new_empty(chunks, len(states), neurons)
    return x.new_empty(steps, neurons), end, borders, x.new_empty(steps if pack else 0, neurons // 8, dtype=torch.uint8)


@operator(
    "fused(Tensor[] inputs, Tensor?[] states, Tensor[] parameters, str key, int[] wanted, bool differentiate,"
    " bool pack) -> (Tensor, Tensor[], Tensor, Tensor)",
    _forward_results,
)
def _forward(
    inputs: Sequence[Tensor],
    states: Sequence[Tensor | None],
    parameters: Sequence[Tensor],
    key: str,
    wanted: Sequence[int],
    differentiate: bool,
    pack: bool,
) -> tuple[Tensor, list[Tensor], Tensor, Tensor]:
    """Outputs ``[T, M]``, last states ``[M]``, states at chunk borders ``[chunks, S, M]``, output bits ``[T, M / 8]``.

    Without ``differentiate`` there are no borders, without ``pack`` no bits: an axis of length 0.
    """
    y, end, borders, bits = _forward_results(inputs, states, parameters, key, wanted, differentiate, pack)
    steps, neurons = y.shape
    library = library_of(step_of(key), tuple(wanted))
    x, p, rest, last = map(pointers, [contiguous(inputs), contiguous(parameters), contiguous(states), end])
    vector, into = flags(parameters), (y.data_ptr(), pointer(bits if pack else None), last)
    store = pointer(borders if differentiate else None)

    def part(low: int, high: int) -> None:
        library.forward(neurons, steps, x, p, vector, rest, *into, store, low, high)

    in_threads(part, neurons, work=steps * neurons, align=16)
    return y, end, borders, bits


def _backward_results(
    inputs: Sequence[Tensor],
    parameters: Sequence[Tensor],
    borders: Tensor,
    gy: Tensor,
    gend: Sequence[Tensor | None],
    key: str,
    wanted: Sequence[int],
    window: int = 0,
) -> tuple[list[Tensor], list[Tensor], list[Tensor]]:
    steps, neurons = gy.shape
    gx = [gy.new_empty(steps, neurons) for _ in inputs]
    return gx, [gy.new_empty(neurons) for _ in gend], [gy.new_empty(neurons) for _ in wanted]


@operator(
    "fused_backward(Tensor[] inputs, Tensor[] parameters, Tensor borders, Tensor gy, Tensor?[] gend, str key,"
    " int[] wanted, int window=0) -> (Tensor[], Tensor[], Tensor[])",
    _backward_results,
)
def _backward(
    inputs: Sequence[Tensor],
    parameters: Sequence[Tensor],
    borders: Tensor,
    gy: Tensor,
    gend: Sequence[Tensor | None],
    key: str,
    wanted: Sequence[int],
    window: int = 0,
) -> tuple[list[Tensor], list[Tensor], list[Tensor]]:
    """Gradients of the inputs ``[T, M]``, of the first states ``[M]`` and of the wanted parameters ``[M]``.

    ``window`` is 0 where gradients pass every step.
    """
    gx, grest, totals = _backward_results(inputs, parameters, borders, gy, gend, key, wanted)
    steps, neurons = gy.shape
    library = library_of(step_of(key), tuple(wanted))
    # a mean or sum over time has one gradient for all steps: it is read, not written out T times
    given, apart = (gy[0].contiguous(), 0) if gy.stride(0) == 0 else (gy.contiguous(), neurons)
    arrays = [contiguous(inputs), contiguous(parameters), contiguous(gend), gx, grest, totals]
    x, p, last, into, rest, sums = map(pointers, arrays)
    vector = flags(parameters)

    def part(low: int, high: int) -> None:
        failed = library.backward(
            neurons, steps, x, p, vector, borders.data_ptr(),
            given.data_ptr(), apart, last, into, rest, sums, 0, window, low, high,
        )  # fmt: skip
        if failed:
            raise MemoryError("the backward kernel could not allocate its scratch space")

    in_threads(part, neurons, work=steps * neurons, align=16)
    return gx, grest, totals


@functools.lru_cache(maxsize=256)
def library_of(fused: FusedStep, wanted: tuple[int, ...]) -> ctypes.CDLL:
    """The compiled kernels of a step, with gradients for the wanted parameters."""
    keep_pages()
    library = build.load(fused.source(wanted))
    size, address = ctypes.c_int64, ctypes.c_void_p
    library.forward.argtypes = [size, size, *[address] * 8, size, size]
    library.forward.restype = None
    library.backward.argtypes = [size, size, *[address] * 5, size, *[address] * 4, ctypes.c_int32, size, size, size]
    library.backward.restype = ctypes.c_int
    return library


def contiguous(tensors: Sequence[Tensor | None]) -> list[Tensor | None]:
    """The tensors as C reads them."""
    return [None if t is None else t.contiguous() for t in tensors]


def pointer(tensor: Tensor | None) -> int | None:
    """Address of the first element."""
    return None if tensor is None else tensor.data_ptr()


def pointers(tensors: Sequence[Tensor | None]) -> Any:
    """An array of addresses for C, which keeps the tensors alive."""
    # one entry more than needed: an array of length zero has no address
    addresses: Any = (ctypes.c_void_p * (len(tensors) + 1))(*map(pointer, tensors))
    addresses.tensors = tensors
    return addresses


def rows(tensors: Sequence[Tensor], offset: int) -> Any:
    """An array of addresses for C, ``offset`` bytes into each tensor."""
    return (ctypes.c_void_p * len(tensors))(*(tensor.data_ptr() + offset for tensor in tensors))


def flags(values: Sequence[Tensor]) -> Any:
    """For each parameter, whether it has one value a neuron."""
    return (ctypes.c_int32 * (len(values) + 1))(*[int(v.dim() > 0) for v in values])
