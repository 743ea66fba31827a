"""What is being measured: how a network is called, how many sequences it got, what its parts are.

Networks are known by their protocol only: ``network(x, state=None, mask=None) -> (output,
state)`` with ``blocks`` and ``readout``. Any other module that is called as ``module(x)`` and
returns a tensor, or a tuple that starts with one, can be measured too.

Axes (T time, B batch): floating ``x`` of three or more axes is ``[T, B, ...]``, integer ``x``
is token ids ``[B, T]``, floating ``x`` of two axes is a static batch ``[B, C]``.
"""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

from ..core.errors import ConfigError, ShapeError
from .untouched import untouched


@dataclasses.dataclass(frozen=True)
class Extent:
    """How much was measured: number of sequences B and their mean length in steps."""

    samples: int
    steps: float


def extent(x: Tensor, mask: Tensor | None = None, batch_axis: int | None = None) -> Extent:
    """The number of sequences in ``x`` and their mean number of steps.

    Args:
        x: input, with the axes described in the module's docstring.
        mask: ``[T, B]`` bool, true where a step counts.
        batch_axis: the batch axis of ``x`` where it is another than described.

    Raises:
        ShapeError: ``x`` is empty, or ``mask`` does not fit it.
    """
    time, batch = _axes(x, batch_axis)
    if x.numel() == 0:
        raise ShapeError(f"Nothing to measure: x has shape {list(x.shape)}.")
    steps = 1 if time is None else x.shape[time]
    samples = x.shape[batch]
    if mask is None:
        return Extent(samples, float(steps))
    if time is None or tuple(mask.shape) != (steps, samples) or mask.dtype != torch.bool:
        raise ShapeError(
            f"Expected a bool mask of shape [T, B] = [{steps}, {samples}] for x of shape {list(x.shape)}, "
            f"got {mask.dtype} {list(mask.shape)}."
        )
    return Extent(samples, mask.sum().item() / samples)


def _axes(x: Tensor, batch_axis: int | None) -> tuple[int | None, int]:
    """The time axis, if there is one, and the batch axis."""
    if batch_axis is None and x.dim() < 2:
        raise ShapeError(f"Expected x of shape [T, B, ...], ids [B, T] or a batch [B, C], got {list(x.shape)}.")
    ids = not x.is_floating_point() and not x.is_complex()
    time, batch = (1, 0) if ids else (0, 1) if x.dim() > 2 else (None, 0)
    if batch_axis is None or batch_axis == batch:
        return time, batch
    if not 0 <= batch_axis < x.dim():
        raise ShapeError(f"batch_axis {batch_axis} is out of range for x of shape {list(x.shape)}.")
    return None, batch_axis


def by_length(x: Tensor, mask: Tensor | None) -> Iterator[Tensor]:
    """Parts of ``x`` that hold sequences of equal length, padding cut off.

    Running a network on the parts, without a mask, computes for every sequence exactly what
    belongs to it; what is counted then needs no knowledge of how padding travels through
    the layers.

    Raises:
        ShapeError: padding stands before or inside a sequence, or a sequence has no step.
    """
    if mask is None:
        yield x
        return
    lengths = mask.sum(0)
    steps = torch.arange(mask.shape[0], device=mask.device)
    if not torch.equal(mask, steps[:, None] < lengths[None, :]):
        raise ShapeError("The mask has gaps: padding must stand behind a sequence, never before or inside it.")
    if bool((lengths == 0).any()):
        raise ShapeError("The mask leaves a sequence without any step.")
    ids = not x.is_floating_point()
    for length in lengths.unique().tolist():
        rows = (lengths == length).nonzero().flatten().to(x.device)
        yield x[rows, :length] if ids else x[:length, rows]


def infer(network: nn.Module, x: Tensor, mask: Tensor | None) -> None:
    """Run all of ``x`` without its padding, in eval mode and without gradients, for hooks to see; leaves no trace.

    Raises:
        ShapeError: as :func:`by_length`.
    """
    with untouched(network), torch.no_grad():
        network.eval()
        for part in by_length(x, mask):
            call(network, part)


def takes_mask(network: nn.Module) -> bool:
    """True where ``network`` can be called with ``mask=...``."""
    parameters = inspect.signature(network.forward).parameters.values()
    return any(p.name == "mask" or p.kind is p.VAR_KEYWORD for p in parameters)


def call(network: nn.Module, x: Tensor, mask: Tensor | None = None) -> tuple[Tensor, Any]:
    """Output and state of one forward pass; the state is ``None`` for plain modules.

    Raises:
        ConfigError: a mask is given and the network takes none, or no tensor comes back.
    """
    if mask is not None and not takes_mask(network):
        raise ConfigError(
            f"{type(network).__name__} takes no mask.", "leave the mask out, or give forward an argument 'mask'"
        )
    result = network(x) if mask is None else network(x, mask=mask)
    if isinstance(result, Tensor):
        return result, None
    if isinstance(result, tuple) and result and isinstance(result[0], Tensor):
        return result[0], result[1] if len(result) == 2 else result[1:] or None
    raise ConfigError(
        f"{type(network).__name__} returned {type(result).__name__}; "
        "expected a tensor, or a tuple that starts with one (output, state)."
    )


def parts(network: nn.Module) -> list[tuple[str, nn.Module]]:
    """Named cuts: blocks and readout of a network, else the children of a plain module."""
    blocks = getattr(network, "blocks", None)
    if isinstance(blocks, nn.ModuleList):
        found = [(f"blocks.{i}", block) for i, block in enumerate(blocks)]
        readout = getattr(network, "readout", None)
        return [*found, ("readout", readout)] if isinstance(readout, nn.Module) else found
    return list(network.named_children()) or [(type(network).__name__, network)]


def tensors_in(value: Any) -> Iterator[Tensor]:
    """Every tensor in nested tuples, lists and dictionaries."""
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, tuple | list):
        for item in value:
            yield from tensors_in(item)
    elif isinstance(value, dict):
        for item in value.values():
            yield from tensors_in(item)
