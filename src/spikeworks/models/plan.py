"""How a block was made, so that others like it can be made for inputs of another shape.

Auxiliary networks of local learning are rows of fresh blocks like those that follow a cut, adapted
to the width and resolution at the cut. Every block of a network for frames therefore carries its
plan, and knows the shapes that it was built for. A network of vectors gives plans with shapes ``(N,)``
and a stride of 1.

Example:
    >>> import torch
    >>> from spikeworks.models import Conv8Config
    >>> network = Conv8Config().build((1, 14, 14), 10, torch.Generator().manual_seed(0))
    >>> last = network.blocks[7]
    >>> last.shape_in, last.shape_out, last.plan.outputs, last.plan.stride, last.plan.emits
    ((64, 4, 4), (64, 4, 4), 64, 1, 'spikes')
    >>> copy = last.plan.build((16, 14, 14), 2, torch.Generator().manual_seed(1))
    >>> copy.shape_out == last.plan.shape_after((16, 14, 14), 2) == (64, 7, 7)
    True
"""

from __future__ import annotations

from typing import Literal, Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from ..core.state import State

Shape = tuple[int, ...]
"""What one step of one sample looks like: ``(C, H, W)`` for frames, ``(N,)`` for vectors."""

Emits = Literal["spikes", "counts", "currents"]
"""What leaves a block: what its neurons fire, sums of several of these, or membrane currents.

Only spikes of neurons that fire 0 or 1 wait as bits at a cut.
"""


class Block(Protocol):
    """A part of a network at which it may be cut."""

    plan: BlockPlan
    shape_in: Shape
    shape_out: Shape

    def __call__(self, x: Tensor, state: State = None, mask: Tensor | None = None) -> tuple[Tensor, State]:
        """``x [T, B, *shape_in]`` to ``[T, B, *shape_out]`` and the next state; ``mask [T, B]``."""
        ...


@runtime_checkable
class BlockPlan(Protocol):
    """Everything that makes a block but the shape of its input."""

    @property
    def outputs(self) -> int:
        """Channels, or neurons, that leave the block."""
        ...

    @property
    def stride(self) -> int:
        """By how much the block shrinks both spatial axes in its own network."""
        ...

    @property
    def emits(self) -> Emits:
        """What leaves the block."""
        ...

    def shape_after(self, shape: Shape, stride: int) -> Shape:
        """What :meth:`build` with these arguments would put out; builds nothing.

        Raises:
            ConfigError: the shape is of the wrong kind or too small for the stride.
        """
        ...

    def build(self, shape: Shape, stride: int, generator: torch.Generator | None) -> nn.Module:
        """A fresh block with the same neurons, normalisation and outputs, which follows :class:`Block`.

        Args:
            shape: of its input, per step and sample.
            stride: in place of its own.
            generator: source of its initial values.

        Raises:
            ConfigError: the shape is of the wrong kind or too small for the stride.
        """
        ...
