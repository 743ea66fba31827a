"""Networks along a sequence of vectors ``[T, B, N]`` that are no plain stacks: what they have in common.

Blocks follow :class:`~spikeworks.models.plan.Block` as those for frames do. Where neurons live on an inner axis
of I steps (:class:`~spikeworks.layers.InnerTime`), what crosses from block to block is ``[T, B, N, I]``: each step
of the sequence as the I steps that the neurons see; the first block repeats its input I times and the
readout takes the mean over them. With I = 1, and with neurons that live in the sequence, it is ``[T, B, N]``.
"""

from __future__ import annotations

import dataclasses
from typing import Any, Literal, get_args

import torch
from torch import Tensor

from ..core.errors import ConfigError, ShapeError
from ..core.state import State, map_state
from ..layers import Dense, Embedding, InnerTime, PooledReadout, Readout, ReadoutConfig, TimeTiedDropout
from ..layers.attention import positions
from ..neurons import LIF, Neuron, NeuronConfig
from .network import Memory, Network
from .plan import BlockPlan, Emits, Shape
from .stack import EmbeddingConfig, ModelConfig
from .vision import FrameBlock


@dataclasses.dataclass(frozen=True, kw_only=True)
class SequencePlan:
    """What all plans of blocks for sequences say.

    Args:
        outputs: channels that leave the block.
        neuron: description of its neurons; ``None``: it is not a spiking one.
        inner: steps of the neurons' own time, or ``None`` where they live in the sequence.
        dropout: rate inside of the block, tied over time.
        memory: as for :class:`~spikeworks.models.network.Block`.
    """

    outputs: int
    neuron: NeuronConfig | None = dataclasses.field(default_factory=LIF.Config)
    inner: int | None = 1
    dropout: float = 0.0
    memory: Memory = "full"

    @property
    def stride(self) -> int:
        """1: a sequence has no spatial axes to shrink."""
        return 1

    @property
    def emits(self) -> Emits:
        """What leaves the block."""
        return "currents"

    @property
    def copies(self) -> int:
        """How often a step of the sequence is shown to the neurons."""
        return self.inner or 1

    def shape_after(self, shape: Shape, stride: int) -> Shape:
        self.checked(shape, stride)
        return (self.outputs,) if self.copies == 1 else (self.outputs, self.copies)

    def checked(self, shape: Shape, stride: int) -> int:
        """The number of channels of an input; raises ConfigError where no block can be built for its shape."""
        single = len(shape) == 1 or (len(shape) == 2 and shape[1] == self.copies > 1)
        if not single or shape[0] < 1 or stride != 1:
            raise ConfigError(
                f"A block for sequences needs vectors (N,){f' or (N, {self.copies})' if self.copies > 1 else ''} and a "
                f"stride of 1, got {tuple(shape)} and {stride}."
            )
        return shape[0]

    def neurons(self, size: int, generator: torch.Generator | None) -> InnerTime:
        """A layer of neurons as described, on the axis of time that is theirs."""
        assert self.neuron is not None  # asked for by blocks that have neurons
        return InnerTime(self.neuron.build(size, generator), self.inner)


class SequenceBlock(FrameBlock):
    """Base of the blocks for sequences: ``x [T, B, *shape_in]`` and a state in, both of them out.

    A subclass writes :meth:`over`, for which the steps of an inner time are rows of the batch.
    """

    def __init__(self, plan: SequencePlan, shape: Shape) -> None:
        super().__init__(plan, shape, plan.shape_after(shape, 1))  # type: ignore[arg-type]

    def run(self, x: Tensor, state: State = None, mask: Tensor | None = None) -> tuple[Tensor, State]:
        copies = self.plan.copies
        if copies == 1:
            return self.over(x, state, mask)
        x = x.unsqueeze(3).expand(*x.shape, copies) if x.dim() == 3 else x
        state = map_state(lambda t: t.flatten(0, 1), state)
        mask = None if mask is None else mask.repeat_interleave(copies, 1)
        y, state = self.over(x.transpose(2, 3).flatten(1, 2), state, mask)
        return y.unflatten(1, (-1, copies)).transpose(2, 3), map_state(lambda t: t.unflatten(0, (-1, copies)), state)

    def over(self, x: Tensor, state: State, mask: Tensor | None) -> tuple[Tensor, State]:
        """``x [T, B * I, N]`` and a state of ``B * I`` rows in, both of them out."""
        raise TypeError(f"{type(self).__name__} defines no over.")


@dataclasses.dataclass(frozen=True, kw_only=True)
class EntryPlan(SequencePlan):
    """Plan of an :class:`EntryBlock`; ``positions`` says whether it adds the place in the sequence."""

    positions: bool = False

    @property
    def copies(self) -> int:
        return 1

    def build(self, shape: Shape, stride: int, generator: torch.Generator | None) -> EntryBlock:
        return EntryBlock(self, shape, stride, generator)


class EntryBlock(SequenceBlock):
    """A linear map to the width of a network and, for a transformer, sines of the place in the sequence.

    With these its state is the number of steps so far, ``[B]``; there is no longest sequence.
    """

    def __init__(self, plan: EntryPlan, shape: Shape, stride: int, generator: torch.Generator | None) -> None:
        channels = plan.checked(shape, stride)
        super().__init__(plan, shape)
        self.synapse = Dense(channels, plan.outputs, generator=generator)

    def over(self, x: Tensor, state: State, mask: Tensor | None) -> tuple[Tensor, State]:
        y = self.synapse(x)
        if not self.plan.positions:
            return y, None
        before = x.new_zeros(x.shape[1]) if state is None else state
        if before.shape != x.shape[1:2]:
            raise ShapeError(
                f"An entry block expected the place of each of {x.shape[1]} sequences, got {list(before.shape)}.",
                "a state belongs to one batch; pass None to start from rest",
            )
        return y + positions(before, len(x), self.plan.outputs).to(y.dtype), before + len(x)


@dataclasses.dataclass(frozen=True, kw_only=True)
class SequenceNetworkConfig(ModelConfig):
    """Base of the descriptions of networks for sequences.

    Args:
        dropout: inside of blocks, tied over time.
        output_dropout: before the readout.
        readout: how the answer is read.
        embedding: for token tasks.
        memory: ``full``, or ``packed``: backward runs each block again from its input.
    """

    dropout: float = 0.0
    output_dropout: float = 0.0
    readout: ReadoutConfig = dataclasses.field(default_factory=ReadoutConfig)
    embedding: EmbeddingConfig | None = None
    memory: Memory = "full"

    def __post_init__(self) -> None:
        if self.memory not in get_args(Memory):
            raise ConfigError(f"memory is full or packed; got {self.memory!r}.")

    def plans(self) -> tuple[BlockPlan, ...]:
        """The blocks in order; none of them knows the width of the input."""
        raise TypeError(f"{type(self).__name__} defines no plans.")

    def start_readout(self, readout: Readout, generator: torch.Generator) -> None:
        """Draw the weights of a readout of its own anew, where they start otherwise than those of a dense synapse."""

    def build(self, inputs: Any, outputs: int, generator: torch.Generator, *, tokens: bool = False) -> Network:
        """The network for vectors of ``inputs`` values or for tokens; see :meth:`ModelConfig.build`.

        Raises:
            ConfigError: the input is a frame.
        """
        if not isinstance(inputs, int):
            raise ConfigError(
                f"Network {vars(type(self)).get('config_kind')} takes vectors or tokens, and the input is frames of "
                f"shape {tuple(inputs)}.",
                "take a network of frames: --network conv8",
            )
        embedding = None
        shape: Shape = (inputs,)
        if tokens:
            described = self.embedding or EmbeddingConfig()
            embedding = Embedding(inputs, described.size, dropout=described.dropout, generator=generator)
            shape = (described.size,)
        blocks: list[Any] = []
        for plan in self.plans():
            blocks.append(plan.build(shape, 1, generator))
            shape = blocks[-1].shape_out
        tied = embedding.weight if embedding is not None and self.embedding and self.embedding.tied else None
        readout = Readout(shape[0], outputs, self.readout, tied=tied, generator=generator)
        if tied is None:
            self.start_readout(readout, generator)
        if len(shape) > 1:  # the mean over an inner time
            linear = readout.linear
            readout = PooledReadout(shape[0], outputs, self.readout)
            readout.linear = linear
        dropout = TimeTiedDropout(self.output_dropout)
        expected = None if tokens else inputs
        return Network(blocks, readout, embedding=embedding, output_dropout=dropout, inputs=expected)


@dataclasses.dataclass(frozen=True, kw_only=True)
class SpikingSequenceConfig(SequenceNetworkConfig):
    """Base of the descriptions of spiking networks for sequences.

    Args:
        neuron: description of the neurons, the same everywhere; a class or an instance of a neuron's ``Config``.
        time: whether neurons live ``inner``, on a time of their own that starts anew at every step of the
            sequence, or in the ``sequence``, with their state carried through it. As published they are
            functions without memory: ``inner`` with one step.
        inner_steps: steps of that inner time.
    """

    neuron: NeuronConfig = dataclasses.field(default_factory=LIF.Config)
    time: Literal["inner", "sequence"] = "inner"
    inner_steps: int = 1

    def __post_init__(self) -> None:
        super().__post_init__()
        if isinstance(self.neuron, type) and issubclass(self.neuron, Neuron):
            object.__setattr__(self, "neuron", self.neuron.Config())
        if self.time not in ("inner", "sequence"):
            raise ConfigError(f"time of the neurons is inner or sequence; got {self.time!r}.")
        if self.inner_steps < 1 or (self.time == "sequence" and self.inner_steps != 1):
            raise ConfigError(
                f"Neurons on an inner time take at least one step of it, those in the sequence none of their own; got "
                f"inner_steps={self.inner_steps} with time={self.time!r}."
            )

    @property
    def inner(self) -> int | None:
        """Inner steps, or ``None`` for neurons that live in the sequence."""
        return self.inner_steps if self.time == "inner" else None

    @property
    def label(self) -> str:
        """The network's name and the neuron's."""
        return f"{vars(type(self)).get('config_kind')}-{self.neuron.label}"
