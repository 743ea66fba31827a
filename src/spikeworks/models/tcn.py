"""Temporal convolutional networks (arXiv 1803.01271): spiking, and with rectifiers as their control."""

from __future__ import annotations

import dataclasses
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from ..core.config import config_kind
from ..core.errors import ConfigError
from ..core.state import State
from ..layers import CausalConv, Dense, InnerTime, Readout, TimeTiedDropout
from .plan import BlockPlan, Emits, Shape
from .registry import NETWORKS
from .sequence import SequenceBlock, SequenceNetworkConfig, SequencePlan, SpikingSequenceConfig

SMALL = 0.01
"""Standard deviation of the first weights of the maps around the blocks and of the readout."""


class LevelState(NamedTuple):
    """Last inputs of both convolutions, and states of the neurons behind them and on the way around."""

    first_inputs: State
    second_inputs: State
    first: State = None
    second: State = None
    around: State = None


@dataclasses.dataclass(frozen=True, kw_only=True)
class LevelPlan(SequencePlan):
    """Plan of a :class:`Level`; ``dilation`` steps lie between two of the ``kernel`` taps."""

    kernel: int = 7
    dilation: int = 1

    @property
    def emits(self) -> Emits:
        """Sums of spikes, or real numbers without neurons."""
        return "currents" if self.neuron is None else "counts"

    def build(self, shape: Shape, stride: int, generator: torch.Generator | None) -> Level:
        return Level(self, shape, stride, generator)


class Level(SequenceBlock):
    """Twice convolve, fire and drop; add what came around.

    That is the input or, where the width changes, a linear map of it, which fires. Spikes are added without a further
    threshold, so that whole numbers leave, which grow by 1 a level. Without neurons all activations are rectifiers,
    and so is the last, behind the sum.

    The weights of the map around start as N(0, 0.01^2); those of the convolutions as
    :class:`~spikeworks.layers.CausalConv` draws them.
    """

    def __init__(self, plan: LevelPlan, shape: Shape, stride: int, generator: torch.Generator | None) -> None:
        inputs = plan.checked(shape, stride)
        super().__init__(plan, shape)
        taps: Any = {"kernel": plan.kernel, "dilation": plan.dilation, "generator": generator}
        self.first = CausalConv(inputs, plan.outputs, **taps)
        self.first_neuron = self._activation(generator)
        self.first_dropout = TimeTiedDropout(plan.dropout)
        self.second = CausalConv(plan.outputs, plan.outputs, **taps)
        self.second_neuron = self._activation(generator)
        self.second_dropout = TimeTiedDropout(plan.dropout)
        self.around = None if inputs == plan.outputs else Dense(inputs, plan.outputs, generator=generator)
        if self.around is not None:
            nn.init.normal_(self.around.weight, 0.0, SMALL, generator=generator)
        spiking = plan.neuron is not None and self.around is not None
        self.around_neuron = plan.neurons(plan.outputs, generator) if spiking else None

    def _activation(self, generator: torch.Generator | None) -> InnerTime | None:
        return None if self.plan.neuron is None else self.plan.neurons(self.plan.outputs, generator)

    def over(self, x: Tensor, state: State, mask: Tensor | None) -> tuple[Tensor, State]:
        before = state or LevelState(None, None)
        y, first_inputs = self.first(x, before.first_inputs)
        y, first = _activated(self.first_neuron, y, before.first)
        y, second_inputs = self.second(self.first_dropout(y), before.second_inputs)
        y, second = _activated(self.second_neuron, y, before.second)
        y, past, around = self.second_dropout(y), x if self.around is None else self.around(x), None
        if self.around_neuron is not None:
            past, around = self.around_neuron(past, before.around)
        y = y + past if self.plan.neuron is not None else torch.relu(y + past)
        return y, LevelState(first_inputs, second_inputs, first, second, around)


def _activated(neuron: InnerTime | None, x: Tensor, state: State) -> tuple[Tensor, State]:
    return (torch.relu(x), None) if neuron is None else neuron(x, state)


def check_levels(channels: tuple[int, ...], kernel: int) -> None:
    """Raise ConfigError unless there is a level, and each has a channel and two taps."""
    if not channels or min(channels) < 1 or kernel < 2:
        raise ConfigError(
            f"A network of convolutions along time needs levels of at least one channel and a kernel of at least 2, "
            f"got channels={channels} and kernel={kernel}."
        )


def levels(config: Any, **shared: Any) -> tuple[BlockPlan, ...]:
    """A plan for each of the ``channels`` of a description, with dilations of 1, 2, 4, ..."""
    shared |= {"kernel": config.kernel, "dropout": config.dropout, "memory": config.memory}
    return tuple(LevelPlan(outputs=n, dilation=2**i, **shared) for i, n in enumerate(config.channels))


def start_small(readout: Readout, generator: torch.Generator) -> None:
    """Readout weights N(0, 0.01^2)."""
    nn.init.normal_(readout.linear.weight, 0.0, SMALL, generator=generator)


@NETWORKS.register("spiking-tcn")
@config_kind("model", "spiking-tcn")
@dataclasses.dataclass(frozen=True, kw_only=True)
class SpikingTCNConfig(SpikingSequenceConfig):
    """Spiking temporal convolutional network: causal dilated convolutions along time, each followed by neurons.

    The memory lies in the convolutions: with L levels an output sees the last ``1 + 2 (kernel - 1) (2^L - 1)``
    inputs, and a stream carries that many of them. Neurons are memoryless as published, or live in the sequence.

    Args:
        channels: of each level; dilations are 1, 2, 4, ...
        kernel: taps of each convolution.

    Source: arXiv 1803.01271 in the spiking form of arXiv 2502.09449. That program writes N(0, 0.01^2) to the weights of
    convolutions whose weight norm then overwrites them; here they start as they do there in effect, uniform.

    Example:
        >>> network = SpikingTCNConfig(channels=(8, 8)).build(3, 2, torch.Generator().manual_seed(0))
        >>> network(torch.rand(30, 4, 3))[0].shape
        torch.Size([4, 2])
    """

    channels: tuple[int, ...] = (36, 36, 36, 36, 36, 36)
    kernel: int = 7

    def __post_init__(self) -> None:
        super().__post_init__()
        check_levels(self.channels, self.kernel)

    def plans(self) -> tuple[BlockPlan, ...]:
        return levels(self, neuron=self.neuron, inner=self.inner)

    def start_readout(self, readout: Readout, generator: torch.Generator) -> None:
        start_small(readout, generator)


@NETWORKS.register("tcn")
@config_kind("model", "tcn")
@dataclasses.dataclass(frozen=True, kw_only=True)
class TCNConfig(SequenceNetworkConfig):
    """Temporal convolutional network with rectifiers: the control of ``spiking-tcn``, which spikes nowhere.

    Args:
        channels, kernel: as for ``spiking-tcn``.

    Source: arXiv 1803.01271.
    """

    channels: tuple[int, ...] = (36, 36, 36, 36, 36, 36)
    kernel: int = 7

    def __post_init__(self) -> None:
        super().__post_init__()
        check_levels(self.channels, self.kernel)

    def plans(self) -> tuple[BlockPlan, ...]:
        return levels(self, neuron=None, inner=None)

    def start_readout(self, readout: Readout, generator: torch.Generator) -> None:
        start_small(readout, generator)
