"""Networks of gated cells that spike nowhere: what ``lstm`` and ``gru`` share."""

from __future__ import annotations

import dataclasses
from typing import ClassVar

import torch
from torch import Tensor

from ..core.errors import ConfigError
from ..core.state import State
from ..layers import TimeTiedDropout
from ..layers.cells import GatedCells
from .plan import BlockPlan, Shape
from .sequence import SequenceBlock, SequenceNetworkConfig, SequencePlan


@dataclasses.dataclass(frozen=True, kw_only=True)
class CellsPlan(SequencePlan):
    """Plan of a :class:`CellsBlock`; ``cells`` is the layer."""

    cells: type[GatedCells]

    def build(self, shape: Shape, stride: int, generator: torch.Generator | None) -> CellsBlock:
        return CellsBlock(self, shape, stride, generator)


class CellsBlock(SequenceBlock):
    """Dropout and a layer of gated cells, which is the child ``lstm`` or ``gru``, by its class."""

    def __init__(self, plan: CellsPlan, shape: Shape, stride: int, generator: torch.Generator | None) -> None:
        inputs = plan.checked(shape, stride)
        super().__init__(plan, shape)
        self.dropout = TimeTiedDropout(plan.dropout)
        self._named = plan.cells.__name__.lower()
        self.add_module(self._named, plan.cells(inputs, plan.outputs, generator=generator))

    def over(self, x: Tensor, state: State, mask: Tensor | None) -> tuple[Tensor, State]:
        return self.get_submodule(self._named)(self.dropout(x), state)


@dataclasses.dataclass(frozen=True, kw_only=True)
class CellsConfig(SequenceNetworkConfig):
    """Base of the descriptions of networks of gated cells.

    Args:
        hidden: cells of each layer. Dropout stands before each but the first.
    """

    cells: ClassVar[type[GatedCells]]

    hidden: tuple[int, ...] = (64, 112)

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.hidden or min(self.hidden) < 1:
            raise ConfigError(
                f"{self.cells.named} needs at least one layer of at least one cell, got hidden={self.hidden}."
            )

    def plans(self) -> tuple[BlockPlan, ...]:
        rates = [0.0] + [self.dropout] * (len(self.hidden) - 1)
        return tuple(
            CellsPlan(cells=self.cells, outputs=n, neuron=None, inner=None, dropout=r, memory=self.memory)
            for n, r in zip(self.hidden, rates, strict=True)
        )
