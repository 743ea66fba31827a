"""Memory that is cleared every few steps: what a network can do that remembers no longer than that."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from ..core.credit import Credit
from ..core.errors import ConfigError
from ..core.state import State, select_batch
from ..layers import Recurrent
from ..layers.recurrent import RecurrentState
from ..neurons import Neuron
from ..neurons.base import Signal


class ForgetfulState(NamedTuple):
    """State of what forgets, and the steps since it last forgot, int64 ``[B]``, the same in every row."""

    inner: State
    age: Tensor


class Forgetful(nn.Module):
    """Neurons, or a recurrent layer of them, that start from rest every ``window`` steps.

    Steps count from the first one, at which ``state`` is ``None``, and over calls: chunks with the state
    carried equal the whole. States that tell the time go on. Gradients end where the memory ends.
    A window of 1 is no memory (NoTD), one of all steps changes nothing.

    Shapes: those of the inner module, ``x [T, B, N, ...]`` or a tuple of them in, output and state out.

    Args:
        inner: a neuron layer or a :class:`~spikeworks.layers.Recurrent` one.
        window: steps between two clearings, from 1 on.

    Raises:
        ConfigError: no such window, or neurons that mix all steps at once.
    """

    def __init__(self, inner: Neuron | Recurrent, window: int) -> None:
        super().__init__()
        check_window(window, "memory")
        neuron = inner.neuron if isinstance(inner, Recurrent) else inner
        neuron.check_credit(Credit(carry=False))
        self.inner = inner
        self.window = window

    def forward(self, x: Signal, state: ForgetfulState | None = None) -> tuple[Tensor, ForgetfulState]:
        """Run over time; ``state=None`` is rest."""
        first = x if isinstance(x, Tensor) else x[0]
        steps, batch = first.shape[:2]
        inner, age = (None, 0) if state is None else (state.inner, int(state.age[0]))
        outputs, begun = [], 0
        if age:  # the window under way
            begun = min(self.window - age, steps)
            y, inner = self.inner(_steps(x, 0, begun), inner)
            outputs.append(y)
        whole = (steps - begun) // self.window * self.window
        if whole:
            y, inner = self._windows(_steps(x, begun, begun + whole), inner)
            outputs.append(y)
        if begun + whole < steps or not outputs:
            y, inner = self.inner(_steps(x, begun + whole, steps), self._cleared(inner, first))
            outputs.append(y)
        now = torch.full((batch,), (age + steps) % self.window, device=first.device)
        return outputs[0] if len(outputs) == 1 else torch.cat(outputs), ForgetfulState(inner, now)

    def _windows(self, x: Signal, inner: State) -> tuple[Tensor, State]:
        """Whole windows: side by side as rows of one batch, or in turn where a state tells the time."""
        if self._clocks():
            outputs = []
            for part in zip(*(one.split(self.window) for one in _several(x)), strict=True):
                y, inner = self.inner(_as(x, part), self._cleared(inner, part[0]))
                outputs.append(y)
            return torch.cat(outputs), inner
        batch = _several(x)[0].shape[1]
        y, after = self.inner(_as(x, tuple(_side_by_side(one, self.window) for one in _several(x))))
        return _in_turn(y, batch), select_batch(after, slice(-batch, None))

    def _cleared(self, inner: State, x: Tensor) -> State:
        """Rest for ``x [T, B, N, ...]``, with the clocks of a state as they are; ``None`` where there are none."""
        clocks = self._clocks()
        if inner is None or not clocks:
            return None
        if isinstance(self.inner, Recurrent):
            neuron, held = self.inner.neuron, inner.neuron
        else:
            neuron, held = self.inner, inner
        rest = neuron.rest(x)
        kept = rest._replace(**{name: getattr(held, name) for name in clocks})
        return RecurrentState(kept, torch.zeros_like(inner.output)) if isinstance(self.inner, Recurrent) else kept

    def _clocks(self) -> tuple[str, ...]:
        """Names of the states that tell the time."""
        neuron = self.inner.neuron if isinstance(self.inner, Recurrent) else self.inner
        return tuple(neuron.states[k] for k in neuron._clocks())

    def extra_repr(self) -> str:
        return f"window={self.window}"


def check_window(window: int, what: str) -> None:
    """Raise ConfigError unless ``window`` is a number of steps from 1 on."""
    if not isinstance(window, int) or window < 1:
        raise ConfigError(f"The window of {what} is a number of steps from 1 on, got {window!r}.")


def make_forgetful(network: nn.Module, window: int) -> None:
    """Put every neuron layer of ``network`` into a :class:`Forgetful` one, in place.

    Raises:
        ConfigError: no such window, or neurons that mix all steps at once; nothing has changed then.
    """
    found = [
        (parent, name, child)
        for parent in network.modules()
        if not isinstance(parent, Recurrent | Forgetful)
        for name, child in parent.named_children()
        if isinstance(child, Neuron | Recurrent)
    ]
    made = [Forgetful(child, window) for _, _, child in found]
    for (parent, name, _), forgetful in zip(found, made, strict=True):
        setattr(parent, name, forgetful)


def _several(x: Signal) -> tuple[Tensor, ...]:
    return (x,) if isinstance(x, Tensor) else x


def _as(x: Signal, parts: tuple[Tensor, ...]) -> Signal:
    """``parts`` in the form that ``x`` has."""
    return parts[0] if isinstance(x, Tensor) else parts


def _steps(x: Signal, start: int, stop: int) -> Signal:
    return _as(x, tuple(one[start:stop] for one in _several(x)))


def _side_by_side(x: Tensor, window: int) -> Tensor:
    """``[n * K, B, ...]`` to ``[K, n * B, ...]``: row ``w * B + b`` is window w of sequence b."""
    return x.unflatten(0, (-1, window)).transpose(0, 1).flatten(1, 2)


def _in_turn(y: Tensor, batch: int) -> Tensor:
    """The inverse: ``[K, n * B, ...]`` to ``[n * K, B, ...]``."""
    return y.unflatten(1, (-1, batch)).transpose(0, 1).flatten(0, 1)
