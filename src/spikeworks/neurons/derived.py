"""What follows from a neuron's step before it runs: its trace, the forms compiled from that, and which one computes.

Neurons that are alike share one trace; forms are kept for the life of a module.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from ..core.credit import Credit
from ..core.errors import TraceError
from ..core.operations import Operations
from ..kernels import Decision, FusedStep, Graph, TorchStep, TracedStep, decide, trace_step
from ..kernels.memoryless import clocks, memoryless
from ..kernels.policy import requested
from .coefficients import SHARPNESS, Coefficient, Signal, call_step, flatten, unflatten

SHORTEST_PART = 16
"""Steps between two cuts of credit from which on a form parallel in time is worth while."""


class Derived(nn.Module):
    """The part of a neuron that is derived from its ``step``; see :class:`~spikeworks.neurons.base.Neuron`."""

    states: Sequence[str]
    inputs: Sequence[str]
    own_inputs: Sequence[str]
    step: Any
    parallel: Any
    parallel_form: Any
    credit: Credit
    surrogate: Any
    coefficients: Any
    parameters_declared: Any
    values: Any
    _rests: Any

    def __init__(self) -> None:
        super().__init__()
        self._traced: dict[torch.dtype, TracedStep | str] = {}
        self._forms: dict[tuple[str | torch.dtype, ...], Any] = {}

    def decide(self, x: Tensor) -> Decision:
        """The backend that a call with ``x`` takes, and why."""
        dtype = torch.float64 if x.dtype == torch.float64 else torch.float32
        traced = self._trace(dtype)
        obstacle = traced if isinstance(traced, str) else None
        parallel = self.parallel is not None
        if parallel and not self._in_long_parts() and requested() != "parallel":
            chosen = decide(x.device, dtype, obstacle, False)
            if chosen.backend in ("torch", "loop"):
                return Decision(chosen.backend, f"{chosen.reason}; in parallel no credit can be cut at single steps")
            return chosen
        decision = decide(x.device, dtype, obstacle, parallel)
        if decision.backend == "parallel" and self.parallel_form is not None and len(x):
            return Decision("parallel", f"{decision.reason}; {self.parallel_form(x)[1]}")
        return decision

    def _in_long_parts(self) -> bool:
        """Whether credit leaves long parts of a sequence whole, as a form parallel in time wants them."""
        return self.credit.through_time or (self.credit.carry and (self.credit.window or 0) >= SHORTEST_PART)

    def _backend(self, x: Tensor, dtype: torch.dtype) -> str:
        """The backend for ``x``, with its compiled form for ``dtype`` at hand."""
        return self._settled(x.device, dtype) if torch.compiler.is_compiling() else self._ready(self.decide(x), dtype)

    def _settled(self, device: torch.device, dtype: torch.dtype) -> str:
        """As :meth:`_backend`, once for all calls of what torch compiles; the form it finds then is guarded."""
        return self._ready(self.decide(torch.empty(0, device=device, dtype=dtype)), dtype)

    # what torch.compiler.assume_constant_result sets; to call it would load the compiler, half a second, at import
    _settled._dynamo_marked_constant = True  # type: ignore[attr-defined]

    def _ready(self, decision: Decision, dtype: torch.dtype) -> str:
        if decision.backend not in ("loop", "parallel"):
            self._compiled(decision.backend, dtype)
            if not self.credit.carry:
                self._memoryless(decision.backend, dtype)
        return decision.backend

    @property
    def binary(self) -> bool:
        """Whether the output is 0 or 1, whatever the input, as far as the traced step tells."""
        traced = self._trace(torch.float32)
        return isinstance(traced, TracedStep) and traced.binary

    def backend_report(self, device: str = "cpu", dtype: torch.dtype = torch.float32) -> tuple[str, str]:
        """Backend and reason for inputs of a device and dtype."""
        decision = self.decide(torch.empty(0, device=device, dtype=dtype))
        return decision.backend, decision.reason

    def graph(self, dtype: torch.dtype = torch.float32) -> Graph:
        """The traced step; raises TraceError where there is none."""
        traced = self._trace(dtype)
        if isinstance(traced, str):
            raise TraceError(traced)
        return traced.forward

    def source(self, dtype: torch.dtype = torch.float32) -> str:
        """The C text of the kernels, with gradients for all trainable parameters."""
        self.graph(dtype)
        count = len(list(flatten(self._coefficients())))
        return self._compiled("c", dtype).source(tuple(range(count)))

    def operations(self, x: Signal, y: Tensor) -> Operations:
        """Counted from the traced step, for every neuron, step and sequence of the output ``y``."""
        moved = {"state_reads": len(self.states), "state_writes": len(self.states)}
        traced = self._trace(torch.float32)
        if isinstance(traced, str):  # unknown, and said so: the sum becomes nan
            return Operations(macs=math.nan, acs=math.nan, specials=math.nan).scaled(y.numel())
        return (traced.forward.operations() + Operations(**moved)).scaled(y.numel())

    # -- the trace -------------------------------------------------------------------------

    def _coefficients(self) -> dict[str, Coefficient]:
        """What :meth:`coefficients` makes of the parameters, and the width where it is scheduled."""
        found = self.coefficients(**self.values())
        return found if self.surrogate.schedule is None else {**found, SHARPNESS: getattr(self, SHARPNESS)}

    def _clocks(self) -> tuple[int, ...]:
        """Indices of the states that tell the time; kept for the life of the module."""
        key = ("clocks",)
        if key not in self._forms:
            traced = self._trace(torch.float32)
            self._forms[key] = () if isinstance(traced, str) else clocks(traced)
        return self._forms[key]

    _clocks._dynamo_marked_constant = True  # type: ignore[attr-defined]

    def _compiled(self, backend: str, dtype: torch.dtype) -> Any:
        """The traced step as kernels or as torch operations; kept for the life of the module."""
        if (backend, dtype) not in self._forms:
            traced = self._trace(dtype)
            assert isinstance(traced, TracedStep)
            self._forms[backend, dtype] = _form_of(backend, traced, dtype)
        return self._forms[backend, dtype]

    def _memoryless(self, backend: str, dtype: torch.dtype) -> None:
        """Have the form of a step from rest at hand."""
        key = backend, dtype, "memoryless"
        if key not in self._forms:
            traced = self._trace(dtype)
            assert isinstance(traced, TracedStep)
            given = range(len(self.states)) if self._rests() else ()
            self._forms[key] = _form_of(backend, memoryless(traced, given), dtype)

    def _trace(self, dtype: torch.dtype) -> TracedStep | str:
        """The traced step, or why there is none; kept for the life of the module, and for others like it."""
        if dtype not in self._traced:
            with torch.no_grad():
                shape = self._coefficients()
            likeness = self._likeness(dtype, shape)
            if likeness is not None and likeness in _TRACES:
                self._traced[dtype] = _TRACES[likeness]
                return self._traced[dtype]
            flat = list(flatten(shape))

            inputs = len(self.inputs) + len(self.own_inputs)
            first = inputs + len(self.states)

            def step(*tensors: Tensor) -> Sequence[Tensor]:
                return call_step(self.step, tensors[:first], unflatten(shape, iter(tensors[first:])))

            try:
                self._traced[dtype] = trace_step(step, len(self.states), len(flat), dtype, inputs=inputs)
            except TraceError as error:
                self._traced[dtype] = str(error)
            if likeness is not None:
                _TRACES[likeness] = self._traced[dtype]
        return self._traced[dtype]

    def _likeness(self, dtype: torch.dtype, shape: dict[str, Coefficient]) -> Hashable | None:
        """What neurons with the same trace have in common; ``None`` where that cannot be told.

        A step may read whatever its module holds, so all of that is compared; who holds modules, or tensors
        beside the declared parameters, is like no other.
        """
        held = {name: value for name, value in vars(self).items() if name not in _NOT_OF_THE_STEP}
        declared = {SHARPNESS, *(parameter.key for parameter in self.parameters_declared.values())}
        if self._modules or {*self._parameters, *self._buffers} - declared:
            return None
        named = tuple((n, len(c) if isinstance(c, tuple) else None) for n, c in shape.items())
        code = tuple(getattr(type(self), name) for name in ("step", "fire", "coefficients"))
        likeness = (type(self), code, dtype, named, tuple(sorted(held.items(), key=lambda item: item[0])))
        return likeness if _comparable(likeness) and not any(isinstance(v, Tensor) for v in held.values()) else None

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_traced": {}, "_forms": {}}


_TRACES: dict[Hashable, TracedStep | str] = {}
"""Traced steps by the likeness of their neurons."""
_NOT_OF_THE_STEP = {*vars(nn.Module()), "size", "credit", "_traced", "_forms", "_state_class"}
"""What a module holds and no step depends on; parameters and buffers reach it as coefficients."""


def _comparable(value: object) -> bool:
    try:
        hash(value)
    except TypeError:
        return False
    return True


def _form_of(backend: str, traced: TracedStep, dtype: torch.dtype) -> Any:
    if backend == "triton":
        from ..kernels.run_triton import TritonStep  # as heavy as triton, and as rare

        return TritonStep(traced, dtype)
    return FusedStep(traced, dtype) if backend == "c" else TorchStep(traced)
