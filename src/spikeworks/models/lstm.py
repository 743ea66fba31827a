"""LSTM: the non-spiking control of recurrent networks."""

from __future__ import annotations

import dataclasses

import torch
from torch import Tensor

from ..core.config import config_kind
from ..core.errors import ConfigError
from ..core.state import State
from ..layers import LSTM, TimeTiedDropout
from .plan import BlockPlan, Shape
from .registry import NETWORKS
from .sequence import SequenceBlock, SequenceNetworkConfig, SequencePlan


@dataclasses.dataclass(frozen=True, kw_only=True)
class LSTMPlan(SequencePlan):
    """Plan of an :class:`LSTMBlock`."""

    def build(self, shape: Shape, stride: int, generator: torch.Generator | None) -> LSTMBlock:
        return LSTMBlock(self, shape, stride, generator)


class LSTMBlock(SequenceBlock):
    """Dropout and an LSTM."""

    def __init__(self, plan: LSTMPlan, shape: Shape, stride: int, generator: torch.Generator | None) -> None:
        inputs = plan.checked(shape, stride)
        super().__init__(plan, shape)
        self.dropout = TimeTiedDropout(plan.dropout)
        self.lstm = LSTM(inputs, plan.outputs, generator=generator)

    def over(self, x: Tensor, state: State, mask: Tensor | None) -> tuple[Tensor, State]:
        return self.lstm(self.dropout(x), state)


@NETWORKS.register("lstm")
@config_kind("model", "lstm")
@dataclasses.dataclass(frozen=True, kw_only=True)
class LSTMConfig(SequenceNetworkConfig):
    """Layers of LSTM cells: the control of ``gated``, which spikes nowhere.

    Args:
        hidden: cells of each layer. Dropout stands before each but the first.

    Source: Hochreiter and Schmidhuber 1997.

    Example:
        >>> network = LSTMConfig(hidden=(16,)).build(3, 2, torch.Generator().manual_seed(0))
        >>> network(torch.rand(30, 4, 3))[0].shape
        torch.Size([4, 2])
    """

    hidden: tuple[int, ...] = (64, 112)

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.hidden or min(self.hidden) < 1:
            raise ConfigError(f"An LSTM needs at least one layer of at least one cell, got hidden={self.hidden}.")

    def plans(self) -> tuple[BlockPlan, ...]:
        rates = [0.0] + [self.dropout] * (len(self.hidden) - 1)
        return tuple(
            LSTMPlan(outputs=n, neuron=None, inner=None, dropout=r, memory=self.memory)
            for n, r in zip(self.hidden, rates, strict=True)
        )
