"""Spiking networks on diagonal state spaces: Binary-S4D and GSU-SSM (Stan and Rhodes 2024, arXiv 2505.22035)."""

from __future__ import annotations

import dataclasses
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from ..core.config import config_kind
from ..core.errors import ConfigError
from ..core.state import State
from ..layers import GLU, S4D, Dense, LayerNorm, TernaryGate, TimeTiedDropout
from .plan import BlockPlan, Shape
from .registry import NETWORKS
from .sequence import EntryPlan, SequenceBlock, SequenceNetworkConfig, SequencePlan, SpikingSequenceConfig


class SpaceState(NamedTuple):
    """Modes of the state space, and the state of the neurons that read it."""

    modes: State
    neuron: State = None


@dataclasses.dataclass(frozen=True, kw_only=True)
class SpacePlan(SequencePlan):
    """Plan of a block around an S4D layer; the width, ``outputs``, is that of its input.

    Args:
        modes: complex modes a channel.
        rate: factor on the learning rate of their steps, dampings and frequencies.
        at_zero: whether neurons fire where the branch is above 0 instead of above their threshold.
    """

    modes: int = 32
    rate: float = 0.1
    at_zero: bool = True

    def build(self, shape: Shape, stride: int, generator: torch.Generator | None) -> SequenceBlock:
        return (TernaryBlock if self.neuron is None else BinaryBlock)(self, shape, stride, generator)


class SpaceBlock(SequenceBlock):
    """Base of both: a filter with memory and what follows it, added to the block's input."""

    def __init__(self, plan: SpacePlan, shape: Shape, stride: int, generator: torch.Generator | None) -> None:
        if plan.checked(shape, stride) != plan.outputs:
            raise ConfigError(
                f"A state-space block of width {plan.outputs} adds to its input, which has {shape[0]} channels.",
                "let local learning cut behind blocks of this width",
            )
        super().__init__(plan, shape)
        self.norm = LayerNorm(plan.outputs)
        self.space = S4D(plan.outputs, modes=plan.modes, rate=plan.rate, generator=generator)
        self.dropout = TimeTiedDropout(plan.dropout)


class BinaryBlock(SpaceBlock):
    """Normalise, filter, fire, drop, map to twice the width, gate one half by the other, add: ``x + GLU(W s + b)``.

    The branch alone is spikes; what leaves is real. With ``at_zero`` the initial threshold of the neurons is added
    to the current, so that memoryless ones fire where the branch is at least 0.
    """

    def __init__(self, plan: SpacePlan, shape: Shape, stride: int, generator: torch.Generator | None) -> None:
        super().__init__(plan, shape, stride, generator)
        self.neuron = plan.neurons(plan.outputs, generator)
        threshold = getattr(plan.neuron, "threshold", None) if plan.at_zero else None
        self.shift = float(threshold or 0.0)
        self.synapse = Dense(plan.outputs, 2 * plan.outputs, generator=generator)
        self.gate = GLU()

    def over(self, x: Tensor, state: State, mask: Tensor | None) -> tuple[Tensor, State]:
        before = state or SpaceState(None)
        y, modes = self.space(self.norm(x), before.modes)
        y, neuron = self.neuron(y + self.shift, before.neuron)
        return x + self.gate(self.synapse(self.dropout(y))), SpaceState(modes, neuron)


class TernaryBlock(SpaceBlock):
    """Filter, drop, gate by ternary products (:class:`~spikeworks.layers.TernaryGate`), normalise, GELU, add."""

    def __init__(self, plan: SpacePlan, shape: Shape, stride: int, generator: torch.Generator | None) -> None:
        super().__init__(plan, shape, stride, generator)
        self.gate = TernaryGate(plan.outputs, generator=generator)

    def over(self, x: Tensor, state: State, mask: Tensor | None) -> tuple[Tensor, State]:
        y, modes = self.space(x, None if state is None else state.modes)
        return x + functional.gelu(self.norm(self.gate(self.dropout(y)))), SpaceState(modes)


def check_spaces(width: int, depth: int, modes: int) -> None:
    """Raise ConfigError unless there is a block, a channel and a mode."""
    if min(width, depth, modes) < 1:
        raise ConfigError(
            f"A state-space network needs at least one block, channel and mode, got depth={depth}, width={width} and "
            f"modes={modes}."
        )


@NETWORKS.register("binary-s4d")
@config_kind("model", "binary-s4d")
@dataclasses.dataclass(frozen=True, kw_only=True)
class BinaryS4DConfig(SpikingSequenceConfig):
    """Binary-S4D: linear filters with long memory, read by memoryless spikes inside of residual branches.

    Runs over all steps at once, and streams with the modes as its state.

    Args:
        width: channels; a linear map from the input to them is the first block.
        depth: blocks.
        modes: complex modes a channel.
        at_zero: whether neurons fire where the branch is above 0, as published, instead of above their threshold.
        kernel_rate: factor on the learning rate of steps, dampings and frequencies, which have no weight decay.
            Published is ``min(1e-3, rate)``: 1/3 for a rate of 3e-3, 0.1 for 1e-2.

    Source: Stan and Rhodes, Learning long sequences in spiking neural networks, 2024; as in arXiv 2505.22035.

    Example:
        >>> network = BinaryS4DConfig(width=16, depth=1).build(3, 2, torch.Generator().manual_seed(0))
        >>> network(torch.rand(30, 4, 3))[0].shape
        torch.Size([4, 2])
    """

    dropout: float = 0.1
    width: int = 128
    depth: int = 2
    modes: int = 32
    at_zero: bool = True
    kernel_rate: float = 0.1

    def __post_init__(self) -> None:
        super().__post_init__()
        check_spaces(self.width, self.depth, self.modes)

    def plans(self) -> tuple[BlockPlan, ...]:
        block = SpacePlan(
            outputs=self.width,
            neuron=self.neuron,
            inner=self.inner,
            dropout=self.dropout,
            memory=self.memory,
            modes=self.modes,
            rate=self.kernel_rate,
            at_zero=self.at_zero,
        )
        return (EntryPlan(outputs=self.width, memory=self.memory), *[block] * self.depth)


@NETWORKS.register("gsu-ssm")
@config_kind("model", "gsu-ssm")
@dataclasses.dataclass(frozen=True, kw_only=True)
class GSUSSMConfig(SequenceNetworkConfig):
    """GSU-SSM: linear filters with long memory, gated by products with ternary activations and ternary weights.

    It has no neurons to choose: what is sparse and free of multiplications are the two products of each block.

    Args:
        width, depth, modes, kernel_rate: as for ``binary-s4d``.

    Source: Stan and Rhodes, Learning long sequences in spiking neural networks, 2024; as in arXiv 2505.22035.
    """

    dropout: float = 0.1
    width: int = 152
    depth: int = 2
    modes: int = 32
    kernel_rate: float = 0.1

    def __post_init__(self) -> None:
        super().__post_init__()
        check_spaces(self.width, self.depth, self.modes)

    def plans(self) -> tuple[BlockPlan, ...]:
        block = SpacePlan(
            outputs=self.width,
            neuron=None,
            inner=None,
            dropout=self.dropout,
            memory=self.memory,
            modes=self.modes,
            rate=self.kernel_rate,
        )
        return (EntryPlan(outputs=self.width, memory=self.memory), *[block] * self.depth)
