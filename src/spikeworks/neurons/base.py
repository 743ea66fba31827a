"""The neuron contract: one time step is the whole definition.

A subclass names its states, declares its parameters and writes ``step``. Running it over time,
fused kernels with gradients, streaming, operation counts and configuration are derived here.
Legend of shapes: T time, B batch, N neurons or channels, K inner axis (compartments, taps).
"""

from __future__ import annotations

import contextlib
import contextvars
import dataclasses
import math
from collections.abc import Callable, Hashable, Iterator, Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from ..core.credit import Credit
from ..core.errors import ConfigError, ShapeError, TraceError, UnknownName
from ..core.operations import Operations
from ..core.state import State, check_time_first, state_type
from ..kernels import Decision, FusedStep, Graph, TorchStep, TracedStep, decide, run_with_feedback, trace_step
from ..kernels.events import FEWEST_ROWS
from ..kernels.marks import mark, mark_fake
from ..kernels.memoryless import clocks, memoryless
from ..kernels.operators import is_fake
from ..kernels.packing import Packed
from ..kernels.policy import requested
from .description import NeuronConfig, Option, derive_config
from .parameters import Parameter
from .surrogate import Surrogate, spike

Coefficient = Tensor | tuple[Tensor, ...]
Signal = Tensor | tuple[Tensor, ...]
"""What drives a neuron: one tensor, or one for each of its named inputs."""


SHORTEST_PART = 16
"""Steps between two cuts of credit from which on a form parallel in time is worth while."""

SHARPNESS = "surrogate_sharpness"
"""Name of the coefficient that carries a scheduled width past ``step`` to ``fire``."""
_sharpness: contextvars.ContextVar[Tensor | None] = contextvars.ContextVar("spikeworks_sharpness", default=None)


class Neuron(nn.Module):
    """Base of all neurons.

    Args:
        size: number of neurons, or of channels where the input is ``[T, B, size, ...]``.
        config: a full description; alternatively its fields as keywords.
        generator: source of random initial values.

    Example:
        >>> class Half(Neuron):
        ...     states = ("voltage",)
        ...     threshold = Parameter(1.0, trainable=False)
        ...     def step(self, x, voltage, *, threshold):
        ...         charged = 0.5 * voltage + x
        ...         spike = self.fire(charged - threshold)
        ...         return spike, charged - threshold * spike
        >>> spikes, state = Half(1)(torch.full((4, 1, 1), 0.6))
        >>> spikes.flatten().tolist()
        [0.0, 0.0, 1.0, 0.0]
    """

    inputs: Sequence[str] = ("x",)
    """Names of the inputs; with more than one, ``forward`` takes a tuple of tensors of one shape."""
    own_inputs: Sequence[str] = ()
    """Names of further inputs, which :meth:`drive` makes; ``step`` takes them after ``inputs``."""
    states: Sequence[str] = ()
    """Names of the states, in the order in which ``step`` takes and returns them."""
    surrogate: Any = Option(Surrogate(), "derivative of the spike in backward")

    Config: ClassVar[type[NeuronConfig]] = NeuronConfig
    parameters_declared: ClassVar[dict[str, Parameter]] = {}
    options_declared: ClassVar[dict[str, Option]] = {}

    def __init_subclass__(cls, **keywords: Any) -> None:
        super().__init_subclass__(**keywords)
        members = {name: value for c in reversed(cls.__mro__) for name, value in vars(c).items()}
        cls.parameters_declared = {n: v for n, v in members.items() if isinstance(v, Parameter)}
        cls.options_declared = {n: v for n, v in members.items() if isinstance(v, Option)}
        cls.Config = derive_config(cls)

    def __init__(
        self, size: int, config: NeuronConfig | None = None, *, generator: torch.Generator | None = None, **values: Any
    ) -> None:
        super().__init__()
        if not isinstance(size, int) or size < 1:
            raise ConfigError(f"{type(self).__name__} needs at least one neuron, a whole number; got size {size!r}.")
        known = [f.name for f in dataclasses.fields(self.Config)]
        for key in values:
            if key not in known:
                raise UnknownName(f"option of {type(self).__name__}", key, known)
        self.size = size
        self.config: Any = self.Config(**values) if config is None else dataclasses.replace(config, **values)
        self.credit = Credit()
        """How far credit goes back in time; see :class:`~spikeworks.core.credit.Credit`."""
        self.prepare()
        self._state_class = self._make_state_class()
        for parameter in self.parameters_declared.values():
            parameter.create(self, generator)
        if self.surrogate.schedule is not None:  # a coefficient, because constants are part of the kernel
            self.register_buffer(SHARPNESS, torch.tensor(1.0 / self.surrogate.width))
        self._traced: dict[torch.dtype, TracedStep | str] = {}
        self._forms: dict[tuple[str | torch.dtype, ...], Any] = {}

    # -- what a subclass writes ------------------------------------------------------------

    def step(self, x: Tensor, *states: Tensor, **coefficients: Any) -> Sequence[Tensor]:
        """One time step: ``(*inputs, *own inputs, *states, **coefficients) -> (output, *next states)``.

        Elementwise arithmetic only; every tensor broadcasts to the shape of ``x``.
        """
        raise TypeError(f"{type(self).__name__} defines no step.")

    def prepare(self) -> None:
        """Set what depends on the configuration, such as ``self.states``; called before parameters exist."""

    def coefficients(self, **values: Any) -> dict[str, Coefficient]:
        """What ``step`` receives, computed once a call from the parameters; default: the parameters."""
        return values

    def drive(self, x: Tensor, state: State) -> Sequence[Tensor]:
        """The inputs named in ``own_inputs`` for a call with ``x [T, B, size, ...]``, each of its shape.

        ``state`` is the caller's, checked: ``None`` for rest. What depends on the place in the
        sequence must read it there, so that chunks and streams go on where they stopped.
        """
        return ()

    parallel: Callable[..., tuple[Tensor, Sequence[Tensor]]] | None = None
    """Optional form over all steps at once: ``(*inputs, *states, **coefficients) -> (y, states)``."""
    parallel_form: Callable[[Tensor], tuple[str, str]] | None = None
    """Optional: name of the way in which ``parallel`` takes an input, and why."""

    def fire(self, distance: Tensor) -> Tensor:
        """A spike where ``distance >= 0``, with the surrogate's derivative at its present width."""
        sharpness = None if self.surrogate.schedule is None else _sharpness.get()  # torch.compile reads no context
        return spike(distance, self.surrogate, sharpness)

    def set_progress(self, progress: float) -> None:
        """Take the values for the share ``progress`` of training, in [0, 1], that is done.

        The training loop calls it before every update. Override it for schedules of your own.
        """
        schedule = self.surrogate.schedule
        if schedule is not None:
            getattr(self, SHARPNESS).fill_(1.0 / schedule.width(self.surrogate.width, progress))

    def check_credit(self, credit: Credit) -> None:
        """Raise ConfigError where the neuron cannot work with ``credit``; every call does."""
        if getattr(self, "whole_sequence", False) and not credit.through_time:
            raise ConfigError(
                f"{type(self).__name__} mixes all steps at once; temporal credit cannot be cut to {credit.label}.",
                "use sliding-psn, whose memory is a state",
            )

    # -- running ---------------------------------------------------------------------------

    def forward(self, x: Signal, state: State = None) -> tuple[Tensor, State]:
        """Run over time, with the temporal credit of the attribute ``credit``.

        Args:
            x: input current ``[T, B, size, ...]``, floating point; a tuple of as many as the
                neuron has inputs.
            state: the state returned by an earlier call; ``None`` is rest.

        Returns:
            Output of the shape of ``x``, and the state after the last step. Where no state is carried
            that is rest, but for states that tell the time, which go on.

        Raises:
            ShapeError: wrong number, shape or dtype of the inputs, or a wrong state.
            ConfigError: the neuron cannot work with its credit.
        """
        signals = self._signals(x)
        with _autocast_off(signals[0].device.type):
            return self._over_time(_computed(signals), state, signals[0])

    def _over_time(self, compute: list[Tensor], state: State, given: Tensor) -> tuple[Tensor, State]:
        """:meth:`forward` on checked signals in the dtype of the computation; ``given`` is the caller's first."""
        self.check_credit(self.credit)
        first = compute[0]
        states = self._states(state, first)
        backend = self._backend(given, first.dtype)
        signals = [*compute, *self.drive(first, state)]
        coefficients = self._broadcast(first)
        if backend == "loop":
            y, states = self._loop(signals, states, coefficients)
        elif backend == "parallel":
            y, states = self._parallel_run(signals, states, coefficients)
        elif self.credit.carry:
            compiled = self._forms[backend, first.dtype]
            y, states = self._traced_run(compiled, signals, states, coefficients)
        else:
            y, states = self._memoryless_run(backend, signals, states, coefficients)
        return self._returned(y, given.dtype), self.state_class(*states)

    def advance(self, x: Signal, state: State = None) -> tuple[Tensor, State]:
        """One step of streaming: ``x [B, size, ...]`` in, output of the same shape and the state out."""
        now = x.unsqueeze(0) if isinstance(x, Tensor) else tuple(one.unsqueeze(0) for one in x)
        y, state = self(now, state)  # through the hooks, for meters
        return y[0], state

    def recur(self, x: Signal, weight: Tensor, bias: Tensor, last: Tensor, state: State = None) -> tuple[Tensor, State]:
        """Run over time with the output fed back: step t is driven by ``x[t] + y[t-1] weight' + bias``.

        A neuron with K inputs hears itself through each of them, by a weight of its own. Where no state
        is carried (``credit``), nothing is heard, and the bias stays.

        Args:
            x: ``[T, B, size]``, or a tuple of K.
            weight: ``[K * size, size]``, the rows in the order of the inputs, or ``[K, size, size]``.
            bias: ``[K * size]`` or ``[K, size]``.
            last: output before the first step, ``[B, size]``.
            state: as for :meth:`forward`.

        Returns:
            Output ``[T, B, size]`` and the state after the last step.

        Raises:
            ShapeError: as for :meth:`forward`, or weights of another shape.
        """
        signals = self._signals(x)
        compute = _computed(signals)
        weight, bias = self._fed_back(weight.to(compute[0].dtype), bias.to(compute[0].dtype))
        with _autocast_off(signals[0].device.type):
            if not self.credit.carry:
                return self._over_time([s + b for s, b in zip(compute, bias, strict=True)], state, signals[0])
            return self._with_feedback(compute, weight, bias, last.to(compute[0].dtype), state, signals[0])

    def _fed_back(self, weight: Tensor, bias: Tensor) -> tuple[Tensor, Tensor]:
        """Recurrent weights ``[K, N, N]`` and biases ``[K, N]``."""
        count, size = len(self.inputs), self.size
        if weight.shape[-1] != size or weight.numel() != count * size * size or bias.numel() != count * size:
            raise ShapeError(
                f"{type(self).__name__} with {count} input{'s' * (count > 1)} expected recurrent weights "
                f"[{count * size}, {size}] and bias [{count * size}], got {list(weight.shape)} and {list(bias.shape)}."
            )
        return weight.reshape(count, size, size), bias.reshape(count, size)

    def _with_feedback(
        self, compute: list[Tensor], weight: Tensor, bias: Tensor, last: Tensor, state: State, given: Tensor
    ) -> tuple[Tensor, State]:
        first, credit = compute[0], self.credit
        states, own = self._states(state, first), self.drive(first, state)
        coefficients = self._broadcast(first)
        backend = self._backend(given, first.dtype)
        if backend == "c" or (backend == "triton" and first.is_cuda):
            if backend == "triton":
                from ..kernels import feedback_triton  # noqa: F401  gives the operators their form for GPUs

            flat, held = self._flat(first.shape[1:], (0, 1), states, coefficients, first.dtype)
            y, end = run_with_feedback(
                self._forms[backend, first.dtype], compute, weight, bias, last, held, flat, own,
                window=credit.window, feedback=credit.feedback,
            )  # fmt: skip
            return self._returned(y, given.dtype), self.state_class(*(e.reshape(first.shape[1:]) for e in end))
        now, outputs = self._started(states, first), []
        steps = zip(*(one.unbind(0) for one in (*compute, *own)), strict=True)
        for t, step in enumerate(steps):
            cut = credit.cuts(t)
            now = [s.detach() for s in now] if cut else now
            heard = last.detach() if cut or not credit.feedback else last
            currents = [
                x_t + torch.nn.functional.linear(heard, w, b)
                for x_t, w, b in zip(step[: len(weight)], weight, bias, strict=True)
            ]
            last, *now = _call(self.step, (*currents, *step[len(weight) :], *now), coefficients)
            outputs.append(last)
        return self._returned(torch.stack(outputs), given.dtype), self.state_class(*now)

    def rest(self, x: Tensor) -> State:
        """The state before the first step, for an input ``[T, B, size, ...]``: zero unless overridden."""
        return self.state_class(*(torch.zeros_like(x[0]) for _ in self.states))

    @property
    def state_class(self) -> type:
        """The named tuple of this neuron's states."""
        return self._state_class

    def _make_state_class(self) -> type:
        return state_type(f"{type(self).__name__}State", tuple(self.states))

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
        count = len(list(_flatten(self._coefficients())))
        return self._compiled("c", dtype).source(tuple(range(count)))

    def operations(self, x: Signal, y: Tensor) -> Operations:
        """Counted from the traced step, for every neuron, step and sequence of the output ``y``."""
        moved = {"state_reads": len(self.states), "state_writes": len(self.states)}
        traced = self._trace(torch.float32)
        if isinstance(traced, str):  # unknown, and said so: the sum becomes nan
            return Operations(macs=math.nan, acs=math.nan, specials=math.nan).scaled(y.numel())
        return (traced.forward.operations() + Operations(**moved)).scaled(y.numel())

    # -- derivation ------------------------------------------------------------------------

    def values(self) -> dict[str, Coefficient]:
        """All parameters in their ranges but those that change over time; an inner axis becomes a tuple."""
        found: dict[str, Coefficient] = {}
        for name, parameter in self.parameters_declared.items():
            if parameter.per == "step":  # no coefficient, but an input made by drive
                continue
            value = parameter.value(self)
            found[name] = value.unbind(-1) if parameter.inner is not None else value
        return found

    def _coefficients(self) -> dict[str, Coefficient]:
        """What :meth:`coefficients` makes of the parameters, and the width where it is scheduled."""
        found = self.coefficients(**self.values())
        return found if self.surrogate.schedule is None else {**found, SHARPNESS: getattr(self, SHARPNESS)}

    def _signals(self, x: Signal) -> list[Tensor]:
        signals = [x] if isinstance(x, Tensor) else list(x)
        if len(signals) != len(self.inputs):
            raise ShapeError(f"{type(self).__name__} has the inputs {tuple(self.inputs)}, got {len(signals)} tensors.")
        for name, signal in zip(self.inputs, signals, strict=True):
            check_time_first(signal, self.size, type(self).__name__)
            if signal.shape != signals[0].shape or signal.dtype != signals[0].dtype:
                raise ShapeError(
                    f"{type(self).__name__} input '{name}' expected {list(signals[0].shape)} of {signals[0].dtype} as "
                    f"'{self.inputs[0]}' has, got {list(signal.shape)} of {signal.dtype}."
                )
        return signals

    def _states(self, state: State, x: Tensor) -> list[Tensor | None]:
        if state is None:  # None tells the kernels that a state is zero; a rest of its own is made
            return list(self.rest(x)) if self._rests() else [None] * len(self.states)
        self._check_state(state, x)
        return list(state)

    def _check_state(self, state: State, x: Tensor) -> None:
        """Raise ShapeError unless ``state`` is one that such a neuron returned for a batch like ``x``."""
        who, hint = type(self).__name__, "pass the state that this neuron returned, or None to start from rest"
        if not isinstance(state, tuple | list):
            raise ShapeError(f"{who} expected a tuple of the states {tuple(self.states)}, got {state!r:.80}.", hint)
        came = getattr(state, "_fields", tuple(self.states))
        if came != tuple(self.states):
            raise ShapeError(f"{who} has the states {tuple(self.states)}, got those of another neuron: {came}.", hint)
        if len(state) != len(self.states):
            raise ShapeError(f"{who} has the states {tuple(self.states)}, got {len(state)} tensors.", hint)
        for name, s in zip(self.states, state, strict=True):
            if not isinstance(s, Tensor) or not s.is_floating_point():
                found = s.dtype if isinstance(s, Tensor) else type(s).__name__
                raise ShapeError(
                    f"{who} state '{name}' expected a tensor of floating-point numbers, got {found}.", hint
                )
            if s.shape != x.shape[1:]:
                raise ShapeError(
                    f"{who} state '{name}' expected shape {list(x.shape[1:])}, got {list(s.shape)}.",
                    "a state belongs to one batch; pass None to start from rest",
                )
            if s.device != x.device:
                raise ShapeError(
                    f"{who} state '{name}' lies on {s.device}, x on {x.device}.", f"move it with .to('{x.device}')"
                )

    def _broadcast(self, x: Tensor) -> dict[str, Coefficient]:
        """Coefficients whose channel axis lines up with axis 1 of ``x[t]``."""
        tail = (1,) * (x.dim() - 3)

        def fit(c: Tensor) -> Tensor:
            c = c.to(x.dtype)
            return c.reshape(*c.shape, *tail) if c.dim() == 1 else c

        named = self._coefficients()
        return {k: tuple(map(fit, c)) if isinstance(c, tuple) else fit(c) for k, c in named.items()}

    def _loop(self, x: list[Tensor], states: list[Tensor | None], coefficients: dict[str, Coefficient]) -> Any:
        """The reference: the step in a Python loop."""
        now, outputs = self._started(states, x[0]), []
        for t, x_t in enumerate(zip(*(one.unbind(0) for one in x), strict=True)):
            y, *now = _call(self.step, (*x_t, *self._credited(now, t, x[0])), coefficients)
            outputs.append(y)
        return torch.stack(outputs), now if self.credit.carry else self._rested(now, x[0])

    def _parallel_run(self, x: list[Tensor], states: list[Tensor | None], coefficients: dict[str, Coefficient]) -> Any:
        """All steps at once, or in the parts between which credit is cut."""
        assert self.parallel is not None  # the decision was made on it
        now, outputs = self._started(states, x[0]), []
        length = (self.credit.window or len(x[0])) if self.credit.carry else 1
        for part in zip(*(one.split(length) for one in x), strict=True):
            y, now = _call(self.parallel, (*part, *self._credited(now, 0, x[0])), coefficients)
            outputs.append(y)
        y = outputs[0] if len(outputs) == 1 else torch.cat(outputs)
        return y, now if self.credit.carry else self._rested(now, x[0])

    def _memoryless_run(
        self, backend: str, x: list[Tensor], states: list[Tensor | None], coefficients: dict[str, Coefficient]
    ) -> Any:
        """Every step from rest, as a step whose states are clocks alone."""
        found, rest = self._clocks(), self._started([None] * len(states), x[0])
        held = [states[k] for k in found]
        dtype, given = x[0].dtype, {}
        if self._rests():  # resting values are coefficients of their own
            given = {f"rest {k}": rest[k] for k in range(len(rest)) if k not in found}
        compiled = self._forms[backend, dtype, "memoryless"]
        y, end = self._traced_run(compiled, x, held, {**coefficients, **given})
        for k, state in zip(found, end, strict=True):
            rest[k] = state
        return y, rest

    def _credited(self, now: Sequence[Tensor], t: int, x: Tensor) -> Sequence[Tensor]:
        """The states before step t, as credit leaves them to it."""
        if not self.credit.carry:
            return self._rested(now, x)
        return [s.detach() for s in now] if self.credit.cuts(t) else now

    def _rested(self, now: Sequence[Tensor], x: Tensor) -> list[Tensor]:
        """Rest, with the clocks as they are."""
        found, rest = self._clocks(), self._started([None] * len(now), x)
        return [state if k in found else r for k, (state, r) in enumerate(zip(now, rest, strict=True))]

    def _rests(self) -> bool:
        """Whether the neuron has a resting state of its own; else it is zero."""
        return type(self).rest is not Neuron.rest

    def _clocks(self) -> tuple[int, ...]:
        """Indices of the states that tell the time; kept for the life of the module."""
        key = ("clocks",)
        if key not in self._forms:
            traced = self._trace(torch.float32)
            self._forms[key] = () if isinstance(traced, str) else clocks(traced)
        return self._forms[key]

    _clocks._dynamo_marked_constant = True  # type: ignore[attr-defined]

    def _started(self, states: list[Tensor | None], x: Tensor) -> list[Tensor]:
        return [r if s is None else s.to(x.dtype) for s, r in zip(states, self.rest(x), strict=True)]

    def _returned(self, y: Tensor, dtype: torch.dtype) -> Tensor:
        """The output as the caller gets it; where it is fake, whether it is spikes is noted."""
        y = y.to(dtype)
        if is_fake(y) and not torch.compiler.is_compiling() and self.binary:
            mark_fake(y)
        return y

    def _traced_run(
        self,
        compiled: FusedStep | TorchStep,
        x: list[Tensor],
        states: list[Tensor | None],
        coefficients: dict[str, Coefficient],
    ) -> Any:
        first, compiling = x[0], torch.compiler.is_compiling()
        # a step is the same for every neuron, so the axes stay in the order that memory has them in
        order = plain = tuple(range(first.dim() - 1))
        if not (compiling or first.is_contiguous()):  # compiled, sizes may be symbols and cannot be sorted
            order = tuple(sorted(plain, key=lambda k: -first.stride(k + 1)))
        rows = torch.Size(first.shape[1 + k] for k in order)
        back = [order.index(k) for k in plain]
        flat, held = self._flat(first.shape[1:], order, states, coefficients, first.dtype)
        signals, bits = [_ordered(one, order).flatten(1) for one in x], None
        if isinstance(compiled, FusedStep):
            # who reads the spikes as bits wants whole bytes for each step and sequence
            pack = not (compiling or torch.is_inference_mode_enabled()) and compiled.binary and order == plain
            pack = pack and first.shape[2:].numel() % 8 == 0 and first.shape[:2].numel() >= FEWEST_ROWS
            y, end, bits = compiled.run(signals, held, flat, self.credit.window, pack)
        else:
            (y, end), pack = compiled(signals, held, flat, self.credit.window), False
        y = y.reshape(len(y), *rows).permute(0, *(1 + k for k in back))
        if pack and bits is not None:
            mark(y, Packed(bits.flatten(), y.shape, y.dtype))
        return y, [e.reshape(rows).permute(back) for e in end]

    @staticmethod
    def _flat(
        shape: torch.Size,
        order: tuple[int, ...],
        states: list[Tensor | None],
        coefficients: dict[str, Coefficient],
        dtype: torch.dtype,
    ) -> tuple[list[Tensor], list[Tensor | None]]:
        """Coefficients and states as the kernels take them; the sum over the batch is autograd's."""
        flat = [c if c.dim() == 0 else c.expand(shape).permute(order).reshape(-1) for c in _flatten(coefficients)]
        return flat, [None if s is None else s.to(dtype).permute(order).reshape(-1) for s in states]

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
            flat = list(_flatten(shape))

            inputs = len(self.inputs) + len(self.own_inputs)
            first = inputs + len(self.states)

            def step(*tensors: Tensor) -> Sequence[Tensor]:
                return _call(self.step, tensors[:first], _unflatten(shape, iter(tensors[first:])))

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

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *others: Any) -> None:
        for parameter in self.parameters_declared.values():
            stored = state_dict.get(prefix + parameter.key)
            if isinstance(stored, Tensor) and not (stored.is_meta or is_fake(stored)):
                parameter.check_stored(self, stored)
        super()._load_from_state_dict(state_dict, prefix, *others)

    def __getstate__(self) -> dict[str, Any]:
        kept = dict(self.__dict__)
        kept["_traced"], kept["_forms"] = {}, {}
        del kept["_state_class"]
        return kept

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        self._state_class = self._make_state_class()

    def extra_repr(self) -> str:
        shown = [f"{f.name}={getattr(self.config, f.name)!r}" for f in dataclasses.fields(self.config)]
        return ", ".join([str(self.size), *shown])


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


def _computed(signals: list[Tensor]) -> list[Tensor]:
    """The signals in the dtype of the computation: half-precision states would flip spikes."""
    return [s if s.dtype == torch.float64 else s.float() for s in signals]


def _form_of(backend: str, traced: TracedStep, dtype: torch.dtype) -> Any:
    if backend == "triton":
        from ..kernels.run_triton import TritonStep  # as heavy as triton, and as rare

        return TritonStep(traced, dtype)
    return FusedStep(traced, dtype) if backend == "c" else TorchStep(traced)


def _autocast_off(kind: str) -> contextlib.AbstractContextManager[Any]:
    """Full precision for what integrates over time; the synapses around it may have less."""
    if torch.is_autocast_enabled(kind):
        return torch.autocast(kind, enabled=False)
    return contextlib.nullcontext()


def _call(form: Callable[..., Any], tensors: Sequence[Tensor], coefficients: dict[str, Coefficient]) -> Any:
    """Call ``step`` or ``parallel``; a scheduled width goes past it to ``fire``."""
    if SHARPNESS not in coefficients:
        return form(*tensors, **coefficients)
    named = dict(coefficients)
    width: Any = named.pop(SHARPNESS)
    token = _sharpness.set(width)
    try:
        return form(*tensors, **named)
    finally:
        _sharpness.reset(token)


def _ordered(x: Tensor, order: tuple[int, ...]) -> Tensor:
    """``x [T, ...]`` with the later axes in another order, contiguous."""
    return x.permute(0, *(1 + k for k in order)).contiguous()


def _flatten(coefficients: dict[str, Coefficient]) -> Iterator[Tensor]:
    for value in coefficients.values():
        if isinstance(value, tuple):
            yield from value
        else:
            yield value


def _unflatten(shape: dict[str, Coefficient], values: Iterator[Tensor]) -> dict[str, Coefficient]:
    return {
        name: tuple(next(values) for _ in value) if isinstance(value, tuple) else next(values)
        for name, value in shape.items()
    }
