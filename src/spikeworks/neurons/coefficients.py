"""What a step gets beside its inputs and states: parameters in their ranges, and the width of the surrogate."""

from __future__ import annotations

import contextvars
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from torch import Tensor

Coefficient = Tensor | tuple[Tensor, ...]
Signal = Tensor | tuple[Tensor, ...]
"""What drives a neuron: one tensor, or one for each of its named inputs."""

SHARPNESS = "surrogate_sharpness"
"""Name of the coefficient that carries a scheduled width past ``step`` to ``fire``."""
_sharpness: contextvars.ContextVar[Tensor | None] = contextvars.ContextVar("spikeworks_sharpness", default=None)


def scheduled_sharpness() -> Tensor | None:
    """One over the scheduled width of the surrogate, inside :func:`call_step`."""
    return _sharpness.get()


def call_step(form: Callable[..., Any], tensors: Sequence[Tensor], coefficients: dict[str, Coefficient]) -> Any:
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


def flatten(coefficients: dict[str, Coefficient]) -> Iterator[Tensor]:
    """All tensors, in order."""
    for value in coefficients.values():
        if isinstance(value, tuple):
            yield from value
        else:
            yield value


def unflatten(shape: dict[str, Coefficient], values: Iterator[Tensor]) -> dict[str, Coefficient]:
    """Coefficients named and nested like ``shape``, filled with ``values`` in order."""
    return {
        name: tuple(next(values) for _ in value) if isinstance(value, tuple) else next(values)
        for name, value in shape.items()
    }
