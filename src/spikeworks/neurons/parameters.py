"""Parameters of neurons: declared in one line with range, unit and scope.

A trainable parameter is stored unconstrained and mapped into its range; a fixed one is stored
as it is. Reading ``neuron.decay`` always gives the value in its range.
"""

from __future__ import annotations

import dataclasses
import math
import numbers
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import Tensor

from ..core.errors import ConfigError

if TYPE_CHECKING:
    from .base import Neuron

Scope = Literal["layer", "channel", "step"]


@dataclasses.dataclass(frozen=True)
class Constraint:
    """A range and the map into it from all real numbers.

    Attributes:
        name: how messages and documentation call the range.
        forward: unconstrained to value; inverse: value to unconstrained.
        low, high: bounds of admissible initial values.
        closed: whether a trainable value may start on them; a fixed one may.
        open: whether the lower bound is refused even of a fixed value, as a threshold of 0 is.
    """

    name: str
    forward: Callable[[Tensor], Tensor]
    inverse: Callable[[Tensor], Tensor]
    low: float = -math.inf
    high: float = math.inf
    closed: bool = False
    open: bool = False

    def fixed_may_be(self, value: float) -> bool:
        """Whether a value that is not trained may be this one."""
        return self.low <= value <= self.high and not (self.open and value == self.low)

    def check(self, value: Tensor, what: str, *, trainable: bool, hint: str | None = None) -> None:
        """Raise ConfigError unless every element lies in the range, with its border as the attributes say."""
        closed = self.closed or not trainable
        above = value >= self.low if closed and not self.open else value > self.low
        inside = above & (value <= self.high if closed else value < self.high) & value.isfinite()
        if not bool(inside.all()):
            worst = value[~inside].flatten()[0].item()
            if math.isfinite(worst) and self.fixed_may_be(worst) and not closed:
                hint = "a value that is not trained may lie on the border: leave its name out of trainable"
            border = " or on its border" if closed and not (self.closed or self.open) else ""
            raise ConfigError(f"{what} must lie in {self.name}{border}, got {worst:g}.", hint)


real = Constraint("the real numbers", lambda w: w, lambda v: v)
positive = Constraint("(0, inf)", torch.exp, torch.log, low=0.0)
above_zero = dataclasses.replace(positive, open=True)
"""As :data:`positive`, and 0 is refused even of a fixed value: a threshold, the length of a step."""
unit_interval = Constraint("(0, 1)", torch.sigmoid, torch.logit, low=0.0, high=1.0)
negative_unit_interval = Constraint(
    "(-1, 0)", lambda w: -torch.sigmoid(w), lambda v: torch.logit(-v), low=-1.0, high=0.0
)


def between(low: float, high: float) -> Constraint:
    """Values strictly between two bounds: a logistic function of the stored number, stretched to them."""
    width = high - low
    return Constraint(
        f"({low:g}, {high:g})",
        lambda w: low + width * torch.sigmoid(w),
        lambda v: torch.logit((v - low) / width),
        low,
        high,
    )


def at_least(low: float) -> Constraint:
    """Values above a bound: the bound plus the exponential of the stored number."""
    return Constraint(f"({low:g}, inf)", lambda w: low + torch.exp(w), lambda v: torch.log(v - low), low=low)


def clamped(low: float, high: float) -> Constraint:
    """Values cut to ``[low, high]`` at use; the gradient is zero outside (sparch's bounds)."""
    return Constraint(f"[{low:g}, {high:g}]", lambda w: w.clamp(low, high), lambda v: v, low, high, closed=True)


def decay_from_tau(tau: float, form: Literal["exp", "euler"] = "exp", step: float = 1.0) -> float:
    """The decay a step that stands for a time constant.

    Args:
        tau: time constant, above 0, in the unit of ``step``.
        form: ``exp``, the exact solution ``exp(-step / tau)``; or ``euler``, one step of the forward
            Euler method, ``1 - step / tau``, which needs ``tau >= step``.
        step: time between two steps.

    Example:
        >>> decay_from_tau(2.0, form="euler"), round(decay_from_tau(2.0), 4)
        (0.5, 0.6065)

    Raises:
        ConfigError: a time constant out of its range, or another form.
    """
    if form not in ("exp", "euler"):
        raise ConfigError(f"form must be 'exp' or 'euler', got {form!r}.")
    least = step if form == "euler" else 0.0
    if not (step > 0 and tau > 0 and tau >= least):
        raise ConfigError(
            f"The time constant of form '{form}' must be {'at least one step' if least else 'above 0'}, "
            f"got tau={tau:g} with step={step:g}."
        )
    return math.exp(-step / tau) if form == "exp" else 1.0 - step / tau


def spread(value: Tensor, x: Tensor) -> Tensor:
    """A parameter ``[]`` or ``[size]`` as a state for the input ``x [T, B, size, ...]``: ``[B, size, ...]``."""
    value = value.to(x.dtype)
    return (value if value.dim() == 0 else value.reshape(-1, *(1,) * (x.dim() - 3))).expand(x.shape[1:])


Initializer = Callable[["Neuron", tuple[int, ...], torch.Generator | None], Tensor]


@dataclasses.dataclass(frozen=True)
class Parameter:
    """A parameter of a neuron class.

    Args:
        default: initial value, within the constraint; ``None`` where ``initial`` makes it.
        constraint: the admissible range.
        trainable: whether training changes it, unless a configuration says otherwise.
        per: ``"layer"`` for one number, ``"channel"`` for one a neuron or channel, ``"step"`` for one a
            step and channel (see :class:`~spikeworks.neurons.timed.Timed`).
        inner: attribute of the neuron that holds the length of an inner axis (compartments,
            taps); the step then receives a tuple of that many tensors.
        initial: draws initial values, ``(neuron, shape, generator) -> Tensor``.
        doc: meaning and unit.
        rate: factor on the learning rate of this parameter.
    """

    default: float | None
    constraint: Constraint = real
    trainable: bool = True
    per: Scope = "layer"
    inner: str | None = None
    initial: Initializer | None = None
    doc: str = ""
    rate: float = 1.0

    def __set_name__(self, owner: type, name: str) -> None:
        object.__setattr__(self, "name", name)

    def __get__(self, neuron: Neuron | None, owner: type | None = None) -> Any:
        if neuron is None:
            return self
        return self.value(neuron)

    def __set__(self, neuron: Neuron, value: object) -> None:
        raise AttributeError(f"'{self._name}' is set through the configuration of the neuron, or by its stored tensor.")

    @property
    def _name(self) -> str:
        return getattr(self, "name", "parameter")

    @property
    def key(self) -> str:
        """Name of the stored tensor in the module's state dict."""
        return f"stored_{self._name}"

    def value(self, neuron: Neuron) -> Tensor:
        """The value in its range: shape ``[]``, ``[channels]`` or ``[steps, channels]``, with the inner axis last."""
        stored = getattr(neuron, self.key)
        return self.constraint.forward(stored) if self._name in neuron.config.trainable else stored

    def check_stored(self, neuron: Neuron, stored: Tensor) -> None:
        """Raise ConfigError where a tensor that is to be loaded holds values that no neuron has."""
        trainable = self._name in neuron.config.trainable
        what = f"The stored {type(neuron).__name__}.{self._name}"
        (real if trainable else self.constraint).check(
            stored, what, trainable=trainable, hint="the file comes from a run that diverged, or is another neuron's"
        )

    def create(self, neuron: Neuron, generator: torch.Generator | None) -> None:
        """Make the stored tensor of a new neuron, as its configuration says."""
        config = neuron.config
        per_channel = self._name in config.per_channel or self.per == "channel"
        shape = (neuron.size,) if per_channel else ()
        if self.per == "step":
            shape = (int(config.steps), neuron.size)
        if self.inner is not None:
            shape = (*shape, int(getattr(config, self.inner)))
        given = getattr(config, self._name)
        if given is not None:
            value = torch.full(shape, _number(given, f"{type(neuron).__name__}.{self._name}"), dtype=torch.float64)
        elif self.initial is not None:
            value = self.initial(neuron, shape, generator).to(torch.float64)
        else:
            raise ConfigError(
                f"{type(neuron).__name__}.{self._name} expected a number, got None, and has no rule that draws one.",
                "give a number, or leave it out for the default",
            )
        trainable = self._name in config.trainable
        usual = "it is drawn by its own rule" if self.default is None else f"it is {self.default:g}"
        what = f"{type(neuron).__name__}.{self._name}"
        self.constraint.check(value, what, trainable=trainable, hint=f"left out, {usual}")
        if trainable:
            stored = self.constraint.inverse(value).to(torch.get_default_dtype())
            neuron.register_parameter(self.key, torch.nn.Parameter(stored))
        else:
            neuron.register_buffer(self.key, value.to(torch.get_default_dtype()))


def _number(given: Any, what: str) -> float:
    if isinstance(given, numbers.Real) and not isinstance(given, bool):
        return float(given)
    raise ConfigError(
        f"{what} expected a number, got {given!r}.",
        "it is the same for all neurons; values of their own are copied into the stored tensor of a neuron built with "
        "the name in per_channel",
    )


def uniform(low: float, high: float) -> Initializer:
    """Initial values drawn uniformly from ``[low, high]``."""

    def draw(neuron: Neuron, shape: tuple[int, ...], generator: torch.Generator | None) -> Tensor:
        return low + (high - low) * torch.rand(shape, generator=generator, dtype=torch.float64)

    return draw


def uniform_tau(low: float, high: float) -> Initializer:
    """Initial decays ``exp(-1 / tau)`` of time constants drawn uniformly from ``[low, high]`` steps."""
    draw = uniform(low, high)
    return lambda neuron, shape, generator: torch.exp(-1.0 / draw(neuron, shape, generator))
