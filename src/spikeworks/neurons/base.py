"""The neuron contract: one time step is the whole definition.

A subclass names its states, declares its parameters and writes ``step``. Running it over time,
fused kernels with gradients, streaming, operation counts and configuration are derived here.
Legend of shapes: T time, B batch, N neurons or channels, K inner axis (compartments, taps).
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor

from ..core.credit import Credit
from ..core.errors import ConfigError, ShapeError, UnknownName
from ..core.state import State, check_time_first, state_type
from ..kernels import FusedStep, TorchStep, run_with_feedback
from ..kernels.events import FEWEST_ROWS
from ..kernels.marks import mark, mark_fake
from ..kernels.operators import is_fake
from ..kernels.packing import Packed
from .coefficients import SHARPNESS, Coefficient, Signal, call_step, flatten, scheduled_sharpness
from .derived import Derived
from .description import NeuronConfig, Option, derive_config
from .parameters import Parameter
from .surrogate import Surrogate, spike


class Neuron(Derived):
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

    own_biases: ClassVar[bool] = False
    """Whether ``step`` adds a trained bias to every input, so that a synapse needs none."""
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
        sharpness = None if self.surrogate.schedule is None else scheduled_sharpness()  # torch.compile reads no context
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

    def recur(
        self, x: Signal, weight: Tensor, bias: Tensor | None, last: Tensor, state: State = None
    ) -> tuple[Tensor, State]:
        """Run over time with the output fed back: step t is driven by ``x[t] + y[t-1] weight' + bias``.

        A neuron with K inputs hears itself through each of them, by a weight of its own. Where no state
        is carried (``credit``), nothing is heard, and the bias stays.

        Args:
            x: ``[T, B, size]``, or a tuple of K.
            weight: ``[K * size, size]``, the rows in the order of the inputs, or ``[K, size, size]``.
            bias: ``[K * size]`` or ``[K, size]``; ``None``: none.
            last: output before the first step, ``[B, size]``.
            state: as for :meth:`forward`.

        Returns:
            Output ``[T, B, size]`` and the state after the last step.

        Raises:
            ShapeError: as for :meth:`forward`, or weights of another shape.
        """
        signals = self._signals(x)
        compute = _computed(signals)
        bias = weight.new_zeros(len(signals) * self.size) if bias is None else bias
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
            last, *now = call_step(self.step, (*currents, *step[len(weight) :], *now), coefficients)
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
            y, *now = call_step(self.step, (*x_t, *self._credited(now, t, x[0])), coefficients)
            outputs.append(y)
        return torch.stack(outputs), now if self.credit.carry else self._rested(now, x[0])

    def _parallel_run(self, x: list[Tensor], states: list[Tensor | None], coefficients: dict[str, Coefficient]) -> Any:
        """All steps at once, or in the parts between which credit is cut."""
        assert self.parallel is not None  # the decision was made on it
        now, outputs = self._started(states, x[0]), []
        length = (self.credit.window or len(x[0])) if self.credit.carry else 1
        for part in zip(*(one.split(length) for one in x), strict=True):
            y, now = call_step(self.parallel, (*part, *self._credited(now, 0, x[0])), coefficients)
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
        flat = [c if c.dim() == 0 else c.expand(shape).permute(order).reshape(-1) for c in flatten(coefficients)]
        return flat, [None if s is None else s.to(dtype).permute(order).reshape(-1) for s in states]

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *others: Any) -> None:
        for parameter in self.parameters_declared.values():
            stored = state_dict.get(prefix + parameter.key)
            if isinstance(stored, Tensor) and not (stored.is_meta or is_fake(stored)):
                parameter.check_stored(self, stored)
        super()._load_from_state_dict(state_dict, prefix, *others)

    def __getstate__(self) -> dict[str, Any]:
        kept = super().__getstate__()
        del kept["_state_class"]
        return kept

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        self._state_class = self._make_state_class()

    def extra_repr(self) -> str:
        shown = [f"{f.name}={getattr(self.config, f.name)!r}" for f in dataclasses.fields(self.config)]
        return ", ".join([str(self.size), *shown])


def _computed(signals: list[Tensor]) -> list[Tensor]:
    """The signals in the dtype of the computation: half-precision states would flip spikes."""
    return [s if s.dtype == torch.float64 else s.float() for s in signals]


def _autocast_off(kind: str) -> contextlib.AbstractContextManager[Any]:
    """Full precision for what integrates over time; the synapses around it may have less."""
    if torch.is_autocast_enabled(kind):
        return torch.autocast(kind, enabled=False)
    return contextlib.nullcontext()


def _ordered(x: Tensor, order: tuple[int, ...]) -> Tensor:
    """``x [T, ...]`` with the later axes in another order, contiguous."""
    return x.permute(0, *(1 + k for k in order)).contiguous()
