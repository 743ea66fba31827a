"""What one call of a layer computes, counted; the currency between layers and meters."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor


@dataclasses.dataclass(frozen=True, kw_only=True)
class Operations:
    """Arithmetic and memory traffic of one call, summed over its batch and steps.

    Attributes:
        macs: multiply-accumulates on real-valued operands.
        acs: additions only (a binary spike selects a weight), compares included.
        specials: exponentials, logarithms, tanh and the like.
        weight_reads: weights fetched, one for each synaptic operation carried out.
        state_reads, state_writes: words of neuron state moved.
    """

    macs: float = 0.0
    acs: float = 0.0
    specials: float = 0.0
    weight_reads: float = 0.0
    state_reads: float = 0.0
    state_writes: float = 0.0

    def __add__(self, other: Operations) -> Operations:
        return Operations(**{f.name: getattr(self, f.name) + getattr(other, f.name) for f in dataclasses.fields(self)})

    def scaled(self, factor: float) -> Operations:
        """All counts times ``factor``."""
        return Operations(**{f.name: getattr(self, f.name) * factor for f in dataclasses.fields(self)})


@runtime_checkable
class Countable(Protocol):
    """A module that can say what it computed for given tensors."""

    def operations(self, x: Tensor, y: Tensor) -> Operations:
        """Operations of one call that read ``x`` and returned ``y``, both ``[T, B, ...]``."""
        ...


@runtime_checkable
class HoldsSynapses(Protocol):
    """A module with linear maps inside that are not called as modules of their own."""

    def synapses(self, x: Tensor, y: Tensor) -> Sequence[tuple[Countable, Tensor, Tensor]]:
        """Each map of one call that read ``x`` and returned ``y``: with what it read and something like its result.

        Only the shape of the last counts; both are ``[T, B, ...]``.
        """
        ...


LARGEST_SPIKE = 15
"""Whole numbers up to 4 bits are graded spikes; a larger one makes the signal real-valued."""


def is_spikes(x: Tensor) -> bool:
    """True where all values are whole numbers of magnitude :data:`LARGEST_SPIKE` or less."""
    if x.dtype == torch.bool:
        return True
    small = x.abs() <= LARGEST_SPIKE
    return bool((small & (x == x.round())).all()) if x.is_floating_point() else bool(small.all())
