"""Transformers along a sequence: the spike-driven one, and the usual one as its control.

The axis of attention is the sequence itself. Both are causal unless told otherwise: the published programs let
every step see the whole sequence on most tasks, which ``causal=False`` reproduces and which cannot be streamed.
"""

from __future__ import annotations

import dataclasses
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from ..core.config import config_kind
from ..core.errors import ConfigError
from ..core.state import State
from ..layers import Dense, LayerNorm, LinearAttention, SoftmaxAttention, TimeTiedDropout
from .plan import BlockPlan, Emits, Shape
from .registry import NETWORKS
from .sequence import EntryPlan, SequenceBlock, SequenceNetworkConfig, SequencePlan, SpikingSequenceConfig


class EncoderState(NamedTuple):
    """What the attention has seen, and the states of the neurons, in order; the last ones close a network."""

    seen: State
    entering: State = None
    packed: State = None
    attended: State = None
    before_wide: State = None
    wide: State = None
    closing: State = None


@dataclasses.dataclass(frozen=True, kw_only=True)
class EncoderPlan(SequencePlan):
    """Plan of an encoder block; the width, ``outputs``, is that of its input.

    Args:
        heads: of the attention.
        feedforward: channels inside of the second part.
        causal: whether a step sees itself and earlier steps alone.
        closing: whether a last normalisation, and neurons if it has any, stand behind it.
    """

    heads: int = 8
    feedforward: int = 256
    causal: bool = True
    closing: bool = False

    @property
    def emits(self) -> Emits:
        """Real numbers, or the spikes of the neurons that close a network."""
        return "spikes" if self.closing and self.neuron is not None else "currents"

    def build(self, shape: Shape, stride: int, generator: torch.Generator | None) -> Encoder:
        return (Encoder if self.neuron is None else SpikingEncoder)(self, shape, stride, generator)


class Encoder(SequenceBlock):
    """Attention and a wide layer, each added to its input and normalised: ``x <- norm(x + part(x))``.

    Matrices start Xavier-uniform, biases of the attention at 0, those of the wide layer as usual.
    """

    def __init__(self, plan: EncoderPlan, shape: Shape, stride: int, generator: torch.Generator | None) -> None:
        width, wide = plan.outputs, plan.feedforward
        if plan.checked(shape, stride) != width:
            raise ConfigError(
                f"An encoder block of width {width} adds to its input, which has {shape[0]} channels.",
                "let local learning cut behind blocks of this width",
            )
        super().__init__(plan, shape)
        self.packed = Dense(width, 3 * width, generator=generator)
        kind = SoftmaxAttention if plan.neuron is None else LinearAttention
        self.attention = kind(width, plan.heads, causal=plan.causal)
        self.mixed = Dense(width, width, generator=generator)
        self.widened = Dense(width, wide, generator=generator)
        self.narrowed = Dense(wide, width, generator=generator)
        for map_ in (self.packed, self.mixed, self.widened, self.narrowed):
            nn.init.xavier_uniform_(map_.weight, generator=generator)
        for map_ in (self.packed, self.mixed):
            nn.init.zeros_(map_.bias)
        self.first_norm, self.second_norm = LayerNorm(width), LayerNorm(width)
        self.closing_norm = LayerNorm(width) if plan.closing else None
        self.first_dropout, self.inner_dropout, self.second_dropout = (TimeTiedDropout(plan.dropout) for _ in range(3))

    def over(self, x: Tensor, state: State, mask: Tensor | None) -> tuple[Tensor, State]:
        y, seen = self.attention(self.packed(x), None if state is None else state.seen, mask)
        x = self.first_norm(x + self.first_dropout(self.mixed(y)))
        y = self.narrowed(self.inner_dropout(torch.relu(self.widened(x))))
        x = self.second_norm(x + self.second_dropout(y))
        return (x if self.closing_norm is None else self.closing_norm(x)), EncoderState(seen)


class SpikingEncoder(Encoder):
    """The same with neurons before every map: what is multiplied by a weight, or attended to, is spikes.

    What goes around is the block's input as spikes, and then what the first normalisation gives.
    """

    def __init__(self, plan: EncoderPlan, shape: Shape, stride: int, generator: torch.Generator | None) -> None:
        super().__init__(plan, shape, stride, generator)
        width = plan.outputs
        self.entering_neuron = plan.neurons(width, generator)
        self.packed_neuron = plan.neurons(3 * width, generator)
        self.attended_neuron = plan.neurons(width, generator)
        self.before_wide_neuron = plan.neurons(width, generator)
        self.wide_neuron = plan.neurons(plan.feedforward, generator)
        self.closing_neuron = plan.neurons(width, generator) if plan.closing else None

    def over(self, x: Tensor, state: State, mask: Tensor | None) -> tuple[Tensor, State]:
        before = state or EncoderState(None)
        x, entering = self.entering_neuron(x, before.entering)
        y, packed = self.packed_neuron(self.packed(x), before.packed)
        y, seen = self.attention(y, before.seen, mask)
        y, attended = self.attended_neuron(y, before.attended)
        x = self.first_norm(x + self.first_dropout(self.mixed(y)))
        y, before_wide = self.before_wide_neuron(x, before.before_wide)
        y, wide = self.wide_neuron(self.widened(y), before.wide)
        x, closing = self.second_norm(x + self.second_dropout(self.narrowed(self.inner_dropout(y)))), None
        if self.closing_norm is not None and self.closing_neuron is not None:
            x, closing = self.closing_neuron(self.closing_norm(x), before.closing)
        return x, EncoderState(seen, entering, packed, attended, before_wide, wide, closing)


def check_encoder(width: int, depth: int, heads: int) -> None:
    """Raise ConfigError unless the width is a multiple of the heads and there is a block."""
    if min(width, depth, heads) < 1 or width % heads:
        raise ConfigError(
            f"A transformer needs at least one block, and a width that its heads divide, got width={width}, "
            f"depth={depth} and heads={heads}."
        )


def encoders(config: Any, **shared: Any) -> tuple[BlockPlan, ...]:
    """The entry and the encoder blocks of a description."""
    wide = config.feedforward or 4 * config.width
    shared |= {"outputs": config.width, "heads": config.heads, "feedforward": wide, "causal": config.causal}
    shared |= {"dropout": config.dropout, "memory": config.memory}
    closing = (i == config.depth - 1 for i in range(config.depth))
    entry = EntryPlan(outputs=config.width, positions=config.positions, memory=config.memory)
    return (entry, *(EncoderPlan(closing=last, **shared) for last in closing))


@NETWORKS.register("spike-transformer")
@config_kind("model", "spike-transformer")
@dataclasses.dataclass(frozen=True, kw_only=True)
class SpikeTransformerConfig(SpikingSequenceConfig):
    """Spike-driven Transformer along the sequence: attention between spikes, without softmax, as a running sum.

    Causal by default: a step sees itself and earlier ones, and a stream carries one matrix a head, however long it
    is. Neurons are memoryless as published (``inner_steps`` 1 or 4), or live in the sequence.

    Args:
        width: channels; a linear map from the input to them is the first block.
        depth: encoder blocks.
        heads: of each attention, divisors of the width.
        feedforward: channels inside of the wide layers; ``None``: four times the width.
        causal: without, every step sees the whole sequence: as published on all tasks but language modelling.
        positions: whether sines of the place in the sequence are added to the input of the first encoder block.

    Source: arXiv 2404.03663 (attention) along a sequence as in arXiv 2502.09449 and 2505.22035.

    Example:
        >>> network = SpikeTransformerConfig(width=16, heads=2).build(3, 2, torch.Generator().manual_seed(0))
        >>> network(torch.rand(30, 4, 3))[0].shape
        torch.Size([4, 2])
    """

    width: int = 64
    depth: int = 2
    heads: int = 8
    feedforward: int | None = None
    causal: bool = True
    positions: bool = True

    def __post_init__(self) -> None:
        super().__post_init__()
        check_encoder(self.width, self.depth, self.heads)

    def plans(self) -> tuple[BlockPlan, ...]:
        return encoders(self, neuron=self.neuron, inner=self.inner)


@NETWORKS.register("transformer")
@config_kind("model", "transformer")
@dataclasses.dataclass(frozen=True, kw_only=True)
class TransformerConfig(SequenceNetworkConfig):
    """Transformer encoder with softmax: the control of ``spike-transformer``, which spikes nowhere.

    A stream carries the keys and values of all earlier steps.

    Args:
        width, depth, heads, feedforward, causal, positions: as for ``spike-transformer``.

    Source: arXiv 1706.03762.
    """

    width: int = 64
    depth: int = 2
    heads: int = 8
    feedforward: int | None = None
    causal: bool = True
    positions: bool = True

    def __post_init__(self) -> None:
        super().__post_init__()
        check_encoder(self.width, self.depth, self.heads)

    def plans(self) -> tuple[BlockPlan, ...]:
        return encoders(self, neuron=None, inner=None)
