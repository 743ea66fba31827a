"""Bits that travel with spikes: who writes spikes marks them, who reads them finds the bits.

A mark is an attribute of one tensor object. It is dropped in silence wherever it could mislead:
the tensor was changed in place, it is a copy or a view of the marked one, or torch compiles.
"""

from __future__ import annotations

import weakref
from typing import Any

import torch
from torch import Tensor

from ..core.errors import ShapeError
from .packing import BITS_OF_A_BYTE, Packed, pack_if_binary


class _Mark:
    """Bits of a tensor, and how to see that they are still its own. Copies of the tensor carry none."""

    __slots__ = ("address", "owner", "packed", "version")

    def __init__(self, y: Tensor, packed: Packed) -> None:
        self.owner = weakref.ref(y)
        self.version, self.address = y._version, y.data_ptr()
        self.packed = packed

    def __deepcopy__(self, memo: dict[int, Any]) -> None:
        return None

    def __reduce__(self) -> Any:
        return set, ()  # any plain value would do; this one loads with weights_only


_NAME = "_spikeworks_mark"


def mark(y: Tensor, packed: Packed) -> None:
    """Note that ``packed`` holds the values of ``y``.

    Args:
        y: zeros and ones ``[T, B, ...]``. Marked only where the neurons of a step and sequence
            fill whole bytes of bits, and never while torch compiles, exports or fakes tensors.
        packed: its bits, in the order of its axes.

    Raises:
        ShapeError: the shapes differ.
    """
    if packed.shape != y.shape:
        raise ShapeError(f"Bits of shape {list(packed.shape)} cannot mark spikes of shape {list(y.shape)}.")
    if torch.compiler.is_compiling() or type(y) is not Tensor or y.shape[2:].numel() % BITS_OF_A_BYTE:
        return
    if y.is_inference():  # it does not count its changes, so a mark could not be trusted later
        return
    setattr(y, _NAME, _Mark(y, packed))


def packed_of(y: Tensor) -> Packed | None:
    """The bits of ``y``; ``None`` where it is not marked or was changed in place since."""
    if torch.compiler.is_compiling():
        return None
    held = getattr(y, _NAME, None)
    if not isinstance(held, _Mark) or held.owner() is not y:
        return None
    same = held.packed.shape == y.shape and held.address == y.data_ptr() and held.version == y._version
    return held.packed if same else None


def bits_of(x: Tensor) -> Packed | None:
    """The bits that ``x`` carries, else packed now; ``None`` where values are neither 0 nor 1.

    What is packed here marks ``x``, so that another reader finds it.
    """
    packed = packed_of(x)
    if packed is None:
        packed = pack_if_binary(x)
        if packed is not None:
            mark(x, packed)
    return packed
