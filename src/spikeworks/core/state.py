"""Nested states: tuples (named or plain), lists and ``None`` with tensors at the leaves.

The state of a module is an argument and a result. These helpers treat any nesting of it
alike: detach between windows, pick a batch row, flatten for a checkpoint.
"""

from __future__ import annotations

from collections import namedtuple
from collections.abc import Callable, Iterable, Iterator
from functools import cache
from typing import Any

import torch
from torch import Tensor

from .errors import ShapeError

State = Any
"""A tensor, ``None``, or a (named) tuple or list of states."""


@cache
def state_type(name: str, fields: tuple[str, ...]) -> type:
    """The named tuple that holds the states ``fields`` of a neuron called ``name``."""
    return namedtuple(name, fields)


def map_state(function: Callable[[Tensor], Tensor], state: State) -> State:
    """Apply ``function`` to every tensor and keep the nesting."""
    if state is None:
        return None
    if isinstance(state, Tensor):
        return function(state)
    mapped = [map_state(function, item) for item in state]
    if hasattr(state, "_fields"):
        return type(state)(*mapped)
    return type(state)(mapped)


def detach(state: State) -> State:
    """The same values, cut from the graph that made them."""
    return map_state(lambda t: t.detach(), state)


def select_batch(state: State, index: Tensor | slice) -> State:
    """Rows ``index`` of the batch axis; every leaf is ``[B, ...]``."""
    return map_state(lambda t: t[index], state)


def leaves(state: State, prefix: str = "") -> Iterator[tuple[str, Tensor]]:
    """Pairs of a dotted name and a tensor, in a fixed order."""
    if state is None:
        return
    if isinstance(state, Tensor):
        yield prefix or "state", state
        return
    names = getattr(state, "_fields", range(len(state)))
    for name, item in zip(names, state, strict=True):
        yield from leaves(item, f"{prefix}.{name}" if prefix else str(name))


def refill(template: State, tensors: Iterable[Tensor]) -> State:
    """The nesting of ``template`` with other tensors at its leaves, in the order of :func:`leaves`."""
    found = iter(tensors)
    return map_state(lambda _: next(found), template)


def restore(template: State, tensors: dict[str, Tensor], prefix: str = "") -> State:
    """The inverse of ``dict(leaves(state))``, for a ``template`` of the same nesting.

    Raises:
        ShapeError: a tensor is missing or has another shape than the template's.
    """
    named = iter(list(leaves(template, prefix)))

    def fill(old: Tensor) -> Tensor:
        name, _ = next(named)
        if name not in tensors or tensors[name].shape != old.shape:
            came = tuple(tensors[name].shape) if name in tensors else "nothing"
            raise ShapeError(f"State '{name}' expected shape {tuple(old.shape)}, got {came}.")
        return tensors[name].to(device=old.device, dtype=old.dtype)

    return map_state(fill, template)


def state_bytes(state: State) -> int:
    """Bytes held by all tensors of a state."""
    return tensor_bytes(t for _, t in leaves(state))


def tensor_bytes(tensors: Iterable[Tensor]) -> int:
    """Bytes of the values of all tensors."""
    return sum(t.numel() * t.element_size() for t in tensors)


def check_time_first(x: Tensor, channels: int | None, who: str) -> None:
    """Raise ShapeError unless ``x`` is ``[T, B, channels, ...]`` of a floating dtype."""
    want = "[T, B, ...]" if channels is None else f"[T, B, {channels}, ...]"
    if x.dim() < 2 + (channels is not None):
        raise ShapeError(f"{who} expected x of shape {want}, got {list(x.shape)}.")
    if not torch.is_floating_point(x):
        raise ShapeError(f"{who} expected floating-point x, got {x.dtype}.", "convert with x.float()")
    if x.shape[0] == 0:
        raise ShapeError(f"{who} got a sequence of zero length: x has shape {list(x.shape)}.")
    if channels is not None and x.shape[2] != channels:
        swapped = x.dim() >= 3 and channels in tuple(x.shape)
        hint = "axes are time, batch, channels; reorder with x.permute(...)" if swapped else None
        raise ShapeError(f"{who} expected x of shape {want}, got {list(x.shape)}.", hint)
