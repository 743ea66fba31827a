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
from .operators import is_fake
from .packing import BITS_OF_A_BYTE, Packed, pack_if_binary


class _Mark:
    """Bits of a tensor, and how to see that they are still its own. Copies of the tensor carry none."""

    __slots__ = ("address", "owner", "packed", "version")

    def __init__(self, y: Tensor, packed: Packed) -> None:
        self.owner = weakref.ref(y)
        self.version, self.address = y._version, _address(y)
        self.packed = packed

    def __deepcopy__(self, memo: dict[int, Any]) -> None:
        return None

    def __reduce__(self) -> Any:
        return set, ()  # any plain value would do; this one loads with weights_only


_NAME = "_spikeworks_mark"


def _address(y: Tensor) -> int:
    return 0 if is_fake(y) else y.data_ptr()


def mark(y: Tensor, packed: Packed) -> None:
    """Note that ``packed`` holds the values of ``y``.

    Args:
        y: zeros and ones ``[T, B, ...]``. Marked only where the neurons of a step and sequence
            fill whole bytes of bits, and never while torch compiles or exports. Fake tensors
            are marked whatever their shape: nothing else tells what is in them.
        packed: its bits, in the order of its axes.

    Raises:
        ShapeError: the shapes differ.
    """
    if packed.shape != y.shape:
        raise ShapeError(f"Bits of shape {list(packed.shape)} cannot mark spikes of shape {list(y.shape)}.")
    if torch.compiler.is_compiling() or (not is_fake(y) and not _whole_bytes(y)):
        return
    if y.is_inference():  # it does not count its changes, so a mark could not be trusted later
        return
    setattr(y, _NAME, _Mark(y, packed))


def _whole_bytes(y: Tensor) -> bool:
    return type(y) is Tensor and y.shape[2:].numel() % BITS_OF_A_BYTE == 0


def mark_fake(y: Tensor) -> None:
    """Mark a fake tensor that can be nothing but zeros and ones."""
    mark(y, Packed(y.new_empty(-(-y.numel() // BITS_OF_A_BYTE), dtype=torch.uint8), y.shape, y.dtype))


def packed_of(y: Tensor) -> Packed | None:
    """The bits of ``y``; ``None`` where it is not marked or was changed in place since."""
    if torch.compiler.is_compiling():
        return None
    held = getattr(y, _NAME, None)
    if not isinstance(held, _Mark) or held.owner() is not y:
        return None
    same = held.packed.shape == y.shape and held.address == _address(y) and held.version == y._version
    return held.packed if same else None


def bits_of(x: Tensor) -> Packed | None:
    """The bits that ``x`` carries, else packed now; ``None`` where values are neither 0 nor 1.

    What is packed here marks ``x``, so that another reader finds it.
    """
    packed = packed_of(x)
    if packed is None and not is_fake(x):
        packed = pack_if_binary(x)
        if packed is not None:
            mark(x, packed)
    return packed
