"""Stacks of equal blocks, described by one small configuration."""

from __future__ import annotations

import dataclasses
from typing import Any, Literal

import torch
from torch import nn

from ..core.config import config_kind
from ..core.errors import ConfigError
from ..layers import (
    BatchNorm,
    BranchedDense,
    Conv1d,
    DelayConfig,
    DelayLinear,
    Dense,
    EachInput,
    Embedding,
    LayerNorm,
    Readout,
    ReadoutConfig,
    Recurrent,
    TimeTiedDropout,
)
from ..neurons import LIF, Neuron, NeuronConfig
from .network import Block, Memory, Network


@dataclasses.dataclass(frozen=True, kw_only=True)
class ModelConfig:
    """Base of all network descriptions."""

    @property
    def label(self) -> str:
        """Short name for tables."""
        return str(vars(type(self)).get("config_kind"))

    def build(self, inputs: int, outputs: int, generator: torch.Generator, *, tokens: bool = False) -> Network:
        """The network for a task.

        Args:
            inputs: features per step, or the size of the vocabulary for tokens.
            outputs: classes, or the size of the vocabulary.
            generator: source of all initial values.
            tokens: whether the input is ids ``[B, T]``.
        """
        raise TypeError(f"{type(self).__name__} defines no build.")


ModelConfig.config_family = "model"  # type: ignore[attr-defined]


@dataclasses.dataclass(frozen=True, kw_only=True)
class EmbeddingConfig:
    """Token embedding: ``size`` of a vector, row ``dropout``, decoder ``tied`` to the table."""

    size: int = 128
    dropout: float = 0.0
    tied: bool = False


@dataclasses.dataclass(frozen=True, kw_only=True)
class ConvConfig:
    """A 1-D convolution along the features of a step, as the synapse of every block."""

    kernel: int = 5
    stride: int = 2


@config_kind("model", "stack")
@dataclasses.dataclass(frozen=True, kw_only=True)
class StackConfig(ModelConfig):
    """A feed-forward or recurrent stack.

    Neurons with several inputs get one dense map for each, over disjoint parts of the block
    before where the neuron says so (the branches of DH-LIF).

    Args:
        hidden: neurons (or channels, with ``conv``) of each block.
        neuron: description of the neurons, the same in all blocks; a class or an instance of
            a neuron's ``Config``.
        conv: a convolution instead of a dense synapse.
        delay: a dense synapse with (learnable) delays instead of one without.
        recurrent: one flag a block, or empty for none.
        norm: normalisation of the currents: none, batch or layer.
        dropout: tied over time, before each block but the first.
        input_dropout: before the first block.
        output_dropout: before the readout; ``None`` takes ``dropout``.
        readout: how the answer is read.
        embedding: for token tasks.
        memory: ``full``, or ``packed``: backward runs each block again from its input, kept as
            bits where it is spikes. The same gradients from a small part of the memory, for
            about a third more time.

    Example:
        >>> network = StackConfig(hidden=(8,)).build(3, 2, torch.Generator().manual_seed(0))
        >>> network(torch.rand(5, 4, 3))[0].shape
        torch.Size([4, 2])
    """

    hidden: tuple[int, ...] = (64, 64)
    neuron: NeuronConfig = dataclasses.field(default_factory=LIF.Config)
    conv: ConvConfig | None = None
    delay: DelayConfig | None = None
    recurrent: tuple[bool, ...] = ()
    norm: Literal["none", "batch", "layer"] = "none"
    dropout: float = 0.0
    input_dropout: float = 0.0
    output_dropout: float | None = None
    readout: ReadoutConfig = dataclasses.field(default_factory=ReadoutConfig)
    embedding: EmbeddingConfig | None = None
    memory: Memory = "full"

    def __post_init__(self) -> None:
        if isinstance(self.neuron, type) and issubclass(self.neuron, Neuron):
            object.__setattr__(self, "neuron", self.neuron.Config())
        if not self.hidden or min(self.hidden) < 1:
            raise ConfigError(f"A stack needs at least one block of at least one neuron, got hidden={self.hidden}.")
        if self.recurrent and len(self.recurrent) != len(self.hidden):
            raise ConfigError(
                f"recurrent has {len(self.recurrent)} flags for {len(self.hidden)} blocks.",
                "give one flag a block, for instance --model.recurrent True False",
            )
        if self.conv is not None and any(self.recurrent):
            raise ConfigError("A recurrent block needs a dense synapse; leave out conv or recurrent.")
        if self.conv is not None and self.delay is not None:
            raise ConfigError("A block has one synapse; leave out conv or delay.")
        if self.norm not in ("none", "batch", "layer"):
            raise ConfigError(f"norm is none, batch or layer; got {self.norm!r}.")
        if self.memory not in ("full", "packed"):
            raise ConfigError(f"memory is full or packed; got {self.memory!r}.")

    @property
    def label(self) -> str:
        """The neuron's name, with ``-rec`` where a block is recurrent and ``-delay`` where synapses have delays."""
        return self.neuron.label + ("-rec" if any(self.recurrent) else "") + ("-delay" if self.delay else "")

    def build(self, inputs: int, outputs: int, generator: torch.Generator, *, tokens: bool = False) -> Network:
        embedding = self._embedding(inputs, generator) if tokens else None
        width = embedding.weight.shape[1] if embedding is not None else inputs
        last = width
        blocks = []
        like = self.neuron.build(1, torch.Generator())  # drawn apart: only its wiring is read
        self._check_wiring(like)
        for i, size in enumerate(self.hidden):
            synapse, last = self._synapse(i, last, size, like, generator)
            neuron: Any = self.neuron.build(size, generator)
            if self.recurrent and self.recurrent[i]:
                neuron = Recurrent(neuron, generator=generator)
            rate = self.dropout if i else self.input_dropout
            norm = self._norm(size, len(like.inputs))
            block = Block(TimeTiedDropout(rate), synapse, norm, neuron, memory=self.memory)
            blocks.append(block)
        tied = embedding.weight if embedding is not None and self.embedding and self.embedding.tied else None
        readout = Readout(last, outputs, self.readout, tied=tied, generator=generator)
        dropout = TimeTiedDropout(self.dropout if self.output_dropout is None else self.output_dropout)
        expected = None if embedding is not None else inputs
        return Network(blocks, readout, embedding=embedding, output_dropout=dropout, inputs=expected)

    def _embedding(self, vocabulary: int, generator: torch.Generator) -> Embedding:
        config = self.embedding or EmbeddingConfig()
        return Embedding(vocabulary, config.size, dropout=config.dropout, generator=generator)

    def _check_wiring(self, neuron: Neuron) -> None:
        """Raise ConfigError where the neurons cannot be wired as this description asks."""
        who = type(neuron).__name__
        if len(neuron.inputs) > 1 and (self.conv is not None or self.delay is not None or any(self.recurrent)):
            raise ConfigError(
                f"{who} has {len(neuron.inputs)} inputs and needs dense blocks without recurrence and delays.",
                "leave out conv, delay and recurrent",
            )
        if getattr(neuron, "whole_sequence", False) and any(self.recurrent):
            raise ConfigError(f"{who} reads a whole sequence at once and cannot be recurrent; leave out recurrent.")

    def _synapse(
        self, index: int, last: int, size: int, like: Neuron, generator: torch.Generator
    ) -> tuple[nn.Module, int]:
        """The synapse into block ``index`` and the number of values that the block puts out a step."""
        if self.conv is not None:
            channels = 1 if index == 0 else self.hidden[index - 1]
            conv = Conv1d(channels, size, kernel=self.conv.kernel, stride=self.conv.stride, generator=generator)
            return conv, size * conv.length(last // channels)
        if self.delay is not None:
            return DelayLinear(last, size, self.delay, generator=generator), size
        inputs, disjoint = len(like.inputs), getattr(like, "disjoint_inputs", False)
        if inputs > 1:
            return BranchedDense(last, size, inputs, disjoint=disjoint, generator=generator), size
        return Dense(last, size, generator=generator), size

    def _norm(self, size: int, inputs: int) -> nn.Module | None:
        kind = {"none": None, "batch": BatchNorm, "layer": LayerNorm}[self.norm]
        if kind is None:
            return None
        return kind(size) if inputs == 1 else EachInput(kind(size) for _ in range(inputs))
