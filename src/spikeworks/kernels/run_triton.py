"""Run a fused step on a GPU: one launch forward and one backward for a whole sequence.

Triton is imported when a kernel is first needed. With ``TRITON_INTERPRET=1`` in the environment before
that, its interpreter runs the same kernels on tensors in host memory: slowly, but exactly.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import hashlib
import importlib
import importlib.util
import linecache
import os
import types
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor

from ..core.errors import KernelError
from .emit_triton import Pipeline, choose_pipeline, emit_triton
from .operators import differentiated_once, operator
from .run import DTYPES, contiguous, detached, needs_gradient, summed, wanted_of
from .trace import TracedStep

Implementation = TypeVar("Implementation", bound=Callable[..., Any])

OLDEST_CAPABILITY = (8, 0)
"""Compute capability from which Triton compiles."""


def obstacle_to_triton(device: torch.device, dtype: torch.dtype, untraceable: str | None) -> str | None:
    """Why no Triton kernel can run a step, in words, or ``None`` where one can.

    Args:
        device, dtype: of the input.
        untraceable: why the step has no graph, or ``None`` where it has one.
    """
    if device.type != "cuda" and not (device.type == "cpu" and interpreting()):
        return (
            f"Triton kernels run on CUDA devices and the input is on {device.type} "
            "(TRITON_INTERPRET=1 runs them in host memory, slowly)"
        )
    if dtype not in DTYPES:
        return f"Triton kernels compute in float32 and float64, the input is {dtype}"
    if untraceable is not None:
        return untraceable
    if isinstance(missing := _import(), str):
        return missing
    if not interpreting() and torch.version.hip is None:
        capability = torch.cuda.get_device_capability(device)
        if capability < OLDEST_CAPABILITY:
            names = [".".join(map(str, c)) for c in (OLDEST_CAPABILITY, capability)]
            return f"Triton compiles for compute capability {names[0]} and later, the device has {names[1]}"
    return None


def interpreting() -> bool:
    """Whether kernels run in Triton's interpreter."""
    return os.environ.get("TRITON_INTERPRET", "").lower() in ("1", "true", "yes", "on", "y")


def on_every_device(schema: str, fake: Callable[..., Any]) -> Callable[[Implementation], Implementation]:
    """An operator, as of :mod:`~spikeworks.kernels.operators`, whose form for the CPU also serves GPUs."""

    def register(function: Implementation) -> Implementation:
        torch.library.impl(f"spikeworks::{schema.split('(')[0]}", "cuda", operator(schema, fake)(function))
        return function

    return register


@functools.lru_cache(maxsize=1)
def _import() -> types.ModuleType | str:
    """Triton, or why it cannot be used."""
    if importlib.util.find_spec("triton") is None:
        return "the package triton is not installed"
    try:
        return importlib.import_module("triton")
    except Exception as error:  # a broken installation fails in any way
        return f"the package triton cannot be imported: {type(error).__name__}: {error}"


@dataclasses.dataclass(frozen=True, eq=False)
class TritonStep:
    """A traced step with Triton kernels for one dtype; called like :class:`~spikeworks.kernels.run.FusedStep`.

    Attributes:
        traced, dtype: the step, float32 or float64.
        key: its name by content, as of a ``FusedStep``.

    Example:
        ``TritonStep(trace_step(step, 1, 2), torch.float32)([x], [None], [decay, threshold])``
    """

    traced: TracedStep
    dtype: torch.dtype
    key: str = dataclasses.field(init=False)

    def __post_init__(self) -> None:
        known = hashlib.sha256(repr((self.traced, self.dtype)).encode()).hexdigest()[:32]
        object.__setattr__(self, "key", known)
        _STEPS.setdefault(known, self)

    def pipeline(self, steps: int, neurons: int) -> Pipeline:
        """Chunks and loads ahead for signals ``[steps, neurons]``."""
        return choose_pipeline(self.traced, self.dtype.itemsize, steps, neurons)

    def source(self, parameter_gradients: tuple[int, ...] = (), steps: int = 1024, neurons: int = 1 << 20) -> str:
        """The Triton text for signals ``[steps, neurons]``, with gradients for the given parameters."""
        return emit_triton(self.traced, self.dtype, self.pipeline(steps, neurons), parameter_gradients)

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
        neurons = inputs[0].shape[1]
        for p in parameters:
            if p.dim() > 1 or (p.dim() == 1 and p.shape[0] != neurons):
                raise KernelError(f"A parameter has shape {list(p.shape)}, expected [] or [{neurons}].")
        if needs_gradient(*inputs, *states, *parameters):
            counts, wanted, states = (len(inputs), len(states)), wanted_of(parameters), detached(states, window)
            y, *end = _Launched.apply(self.key, counts, wanted, window, *inputs, *states, *parameters)  # type: ignore[misc]
        else:
            y, end, _ = torch.ops.spikeworks.launched(inputs, states, parameters, self.key, (), False)
        return y, tuple(end)


_STEPS: dict[str, TritonStep] = {}
"""All steps of the process by key; they stay, since a compiled graph holds the key alone."""


def step_of(key: str) -> TritonStep:
    """The step that a key names."""
    return _STEPS[key]


class _Launched(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, key: str, counts: tuple[int, int], wanted: tuple[int, ...], window: int | None, *tensors: Any
    ) -> Any:
        first_state, first_parameter = counts[0], sum(counts)
        inputs, states, parameters = (
            tensors[:first_state],
            tensors[first_state:first_parameter],
            tensors[first_parameter:],
        )
        y, end, borders = torch.ops.spikeworks.launched(inputs, states, parameters, key, wanted, True)
        ctx.key, ctx.counts, ctx.wanted, ctx.window = key, counts, wanted, window
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(borders, *inputs, *parameters)
        return (y, *end)

    @staticmethod
    @differentiated_once
    def backward(ctx: Any, gy: Tensor | None, *gend: Tensor | None) -> Any:
        first_state, first_parameter = ctx.counts[0], sum(ctx.counts)
        borders, *saved = ctx.saved_tensors
        inputs, parameters = saved[:first_state], saved[first_state:]
        gy = torch.zeros_like(inputs[0]) if gy is None else gy
        needed = ctx.needs_input_grad[4:]
        driven = [k for k in range(first_state) if needed[k]]
        found, grest, totals = torch.ops.spikeworks.launched_backward(
            inputs, parameters, borders, gy, gend, ctx.key, ctx.wanted, driven, ctx.window or 0
        )
        gx: list[Tensor | None] = [None] * first_state
        for k, g in zip(driven, found, strict=True):
            gx[k] = g
        grest = [g if n else None for g, n in zip(grest, needed[first_state:first_parameter], strict=True)]
        return (None, None, None, None, *gx, *grest, *summed(totals, parameters, ctx.wanted))


def _forward_results(
    inputs: Sequence[Tensor],
    states: Sequence[Tensor | None],
    parameters: Sequence[Tensor],
    key: str,
    wanted: Sequence[int],
    differentiate: bool,
) -> tuple[Tensor, list[Tensor], Tensor]:
    x, step = inputs[0], step_of(key)
    steps, neurons = x.shape
    chunks = -(-steps // step.pipeline(steps, neurons).chunk) if differentiate else 0
    return (
        x.new_empty(steps, neurons),
        [x.new_empty(neurons) for _ in states],
        x.new_empty(chunks, len(states), neurons),
    )


@on_every_device(
    "launched(Tensor[] inputs, Tensor?[] states, Tensor[] parameters, str key, int[] wanted, bool differentiate)"
    " -> (Tensor, Tensor[], Tensor)",
    _forward_results,
)
def _forward(
    inputs: Sequence[Tensor],
    states: Sequence[Tensor | None],
    parameters: Sequence[Tensor],
    key: str,
    wanted: Sequence[int],
    differentiate: bool,
) -> tuple[Tensor, list[Tensor], Tensor]:
    """Outputs ``[T, M]``, last states ``[M]``, states at chunk borders ``[chunks, S, M]`` (none: chunks = 0)."""
    y, end, borders = _forward_results(inputs, states, parameters, key, wanted, differentiate)
    step = step_of(key)
    held = [*contiguous(inputs), *contiguous(parameters), *contiguous(states)]
    kernels = kernels_of(step, step.pipeline(*y.shape), tuple(wanted))
    launch(kernels.forward, y, *held, y, *end, borders if differentiate else None, *map(_is_vector, parameters))
    return y, end, borders


def _backward_results(
    inputs: Sequence[Tensor],
    parameters: Sequence[Tensor],
    borders: Tensor,
    gy: Tensor,
    gend: Sequence[Tensor | None],
    key: str,
    wanted: Sequence[int],
    driven: Sequence[int],
    window: int = 0,
) -> tuple[list[Tensor], list[Tensor], list[Tensor]]:
    steps, neurons = gy.shape
    gx = [gy.new_empty(steps, neurons) for _ in driven]
    return gx, [gy.new_empty(neurons) for _ in gend], [gy.new_empty(neurons) for _ in wanted]


@on_every_device(
    "launched_backward(Tensor[] inputs, Tensor[] parameters, Tensor borders, Tensor gy, Tensor?[] gend, str key,"
    " int[] wanted, int[] driven, int window=0) -> (Tensor[], Tensor[], Tensor[])",
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
    driven: Sequence[int],
    window: int = 0,
) -> tuple[list[Tensor], list[Tensor], list[Tensor]]:
    """Gradients of the driven inputs ``[T, M]``, of the first states and of the wanted parameters, ``[M]``."""
    gx, grest, totals = _backward_results(inputs, parameters, borders, gy, gend, key, wanted, driven)
    step = step_of(key)
    written = dict(zip(driven, gx, strict=True))
    kernels = kernels_of(step, step.pipeline(*gy.shape), tuple(wanted))
    # a mean or sum over time has one gradient for all steps: it is read, not written out T times
    given, apart = (gy[0].contiguous(), 0) if gy.stride(0) == 0 else (gy.contiguous(), gy.shape[1])
    launch(
        kernels.backward, gy, apart, *contiguous(inputs), *contiguous(parameters), borders, given, *contiguous(gend),
        *(written.get(k) for k in range(len(inputs))), *grest, *(None for _ in wanted), *totals,
        *map(_is_vector, parameters), window,
    )  # fmt: skip
    return gx, grest, totals


def _is_vector(parameter: Tensor) -> bool:
    return parameter.dim() > 0


def launch(kernel: Any, signal: Tensor, *arguments: Tensor | int | None) -> None:
    """Run a kernel over all neurons of ``signal [T, M]``, or ``[M]`` for a single step.

    One neuron a thread: loads of neighbours are one transaction, and few neurons still reach all
    processors (132 on an H200, of four schedulers each: 16 384 neurons are one warp for nearly every
    scheduler, hence programs of one warp). Many neurons fill them anyway, and larger programs are
    started faster.
    """
    steps, neurons = (1, len(signal)) if signal.dim() == 1 else signal.shape
    warps = 1 if neurons < 1 << 17 else 4
    block = 32 * warps
    # Multiplications and additions stay apart, so that spikes are those of the loop. num_stages would let
    # Triton rearrange the loop, which loads ahead itself.
    options = {"BLOCK": block, "num_warps": warps, "num_stages": 1, "enable_fp_fusion": False}
    on_device = torch.cuda.device(signal.device) if signal.is_cuda else contextlib.nullcontext()
    # the interpreter computes masked-off neurons too, and NumPy would warn of what it meets there
    with on_device, np.errstate(all="ignore") if interpreting() else contextlib.nullcontext():
        kernel[(-(-neurons // block),)](steps, neurons, *arguments, **options)


@functools.lru_cache(maxsize=256)
def kernels_of(step: TritonStep, pipeline: Pipeline, wanted: tuple[int, ...]) -> types.ModuleType:
    """The module with the kernels of a step, with gradients for the wanted parameters.

    Raises:
        KernelError: Triton cannot be imported.
    """
    if isinstance(missing := _import(), str):
        raise KernelError(f"Cannot build a kernel: {missing}.", "install it with 'pip install triton'")
    return _module(emit_triton(step.traced, step.dtype, pipeline, wanted))


@functools.lru_cache(maxsize=256)
def _module(text: str) -> types.ModuleType:
    """The module that ``text`` defines; layers with the same text share it and what Triton compiles from it.

    Triton reads the source of a kernel again, as tracebacks do, through ``linecache``: there the text lies
    without a file, so that no folder must be writable and no other process can meet half of it. Compiled
    code is kept by Triton in a cache of its own, by content.
    """
    name = f"spikeworks_kernel_{hashlib.sha256(text.encode()).hexdigest()[:16]}"
    place = f"<{name}>"
    linecache.cache[place] = (len(text), None, text.splitlines(keepends=True), place)
    module = types.ModuleType(name)
    exec(compile(text, place, "exec"), module.__dict__)
    return module
