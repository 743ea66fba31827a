"""Stacks of equal blocks, described by one small configuration."""

from __future__ import annotations

import dataclasses
import math
from typing import Any, ClassVar, Literal, get_args

import torch
from torch import nn

from ..core.config import config_kind
from ..core.errors import ConfigError
from ..layers import (
    BatchNorm,
    BatchNormThroughTime,
    BranchedDense,
    Conv1d,
    DelayConfig,
    DelayLinear,
    Dense,
    EachInput,
    EachInputStepwise,
    Embedding,
    LayerNorm,
    Readout,
    ReadoutConfig,
    Recurrent,
    TemporalEffectiveBatchNorm,
    ThresholdBatchNorm,
    TimeTiedDropout,
)
from ..neurons import LIF, Neuron, NeuronConfig
from .network import Block, Memory, Network
from .plan import Emits, Shape

Norm = Literal["none", "batch", "layer", "batch-step", "tdbn", "tebn", "bntt"]
Start = Literal["uniform", "orthogonal"]
_NORMS: tuple[str, ...] = get_args(Norm)
_STEPWISE = ("tebn", "bntt")


@dataclasses.dataclass(frozen=True, kw_only=True)
class ModelConfig:
    """Base of all network descriptions.

    Attributes:
        frames: whether it takes frames ``(C, H, W)`` instead of vectors or tokens.
    """

    frames: ClassVar[bool] = False

    @property
    def label(self) -> str:
        """Short name for tables."""
        return str(vars(type(self)).get("config_kind"))

    def build(self, inputs: Any, outputs: int, generator: torch.Generator, *, tokens: bool = False) -> Network:
        """The network for a task.

        Args:
            inputs: features per step, the size of the vocabulary for tokens, or the shape of a frame.
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
        norm: normalisation of the currents: ``none``; ``batch``, over time and batch; ``layer``;
            ``batch-step``, batch norm with the moments of each step alone, which learning online
            needs; ``tdbn``, scaled to the neurons' initial threshold; ``tebn``, batch norm times a
            weight a step; ``bntt``, batch norm with moments and a scale for each step.
        dropout: tied over time, before each block but the first.
        input_dropout: before the first block.
        output_dropout: before the readout; ``None`` takes ``dropout``.
        readout: how the answer is read.
        embedding: for token tasks.
        memory: ``full``, or ``packed``: backward runs each block again from its input, kept as
            bits where it is spikes. The same gradients from a small part of the memory, for
            about a third more time.
        norm_steps: for ``tebn`` and ``bntt``: the longest sequence from rest; others ignore it.
        recurrent_start: initial recurrent weights: ``uniform`` as a dense synapse, or ``orthogonal``.
        recurrent_diagonal: whether a neuron of a recurrent block hears itself.

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
    norm: Norm = "none"
    dropout: float = 0.0
    input_dropout: float = 0.0
    output_dropout: float | None = None
    readout: ReadoutConfig = dataclasses.field(default_factory=ReadoutConfig)
    embedding: EmbeddingConfig | None = None
    memory: Memory = "full"
    norm_steps: int | None = None
    recurrent_start: Start = "uniform"
    recurrent_diagonal: bool = True

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
        if self.norm not in _NORMS:
            raise ConfigError(f"norm is one of {', '.join(_NORMS)}; got {self.norm!r}.")
        if self.norm in _STEPWISE and (self.norm_steps is None or self.norm_steps < 1):
            raise ConfigError(
                f"norm {self.norm} has parameters for each step and needs norm_steps above 0, got {self.norm_steps}.",
                "give the longest sequence, for instance --model.norm_steps 784",
            )
        if self.recurrent_start not in get_args(Start):
            raise ConfigError(f"recurrent_start is uniform or orthogonal; got {self.recurrent_start!r}.")
        if self.memory not in ("full", "packed"):
            raise ConfigError(f"memory is full or packed; got {self.memory!r}.")

    @property
    def label(self) -> str:
        """The neuron's name, with ``-rec`` where a block is recurrent and ``-delay`` where synapses have delays."""
        return self.neuron.label + ("-rec" if any(self.recurrent) else "") + ("-delay" if self.delay else "")

    def build(self, inputs: int, outputs: int, generator: torch.Generator, *, tokens: bool = False) -> Network:
        embedding = self._embedding(inputs, generator) if tokens else None
        width = embedding.weight.shape[1] if embedding is not None else inputs
        blocks: list[Block] = []
        like = self.neuron.build(1, torch.Generator())  # drawn apart: only its wiring is read
        self._check_wiring(like)
        shape: Shape = (width,)
        for i in range(len(self.hidden)):
            block, shape = self.block(i, shape, 1, generator)
            blocks.append(block)
        last = math.prod(shape)
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
        if len(neuron.inputs) > 1 and (self.conv is not None or self.delay is not None):
            raise ConfigError(
                f"{who} has {len(neuron.inputs)} inputs and needs dense blocks without delays.",
                "leave out conv and delay",
            )
        if getattr(neuron, "whole_sequence", False) and any(self.recurrent):
            raise ConfigError(f"{who} reads a whole sequence at once and cannot be recurrent; leave out recurrent.")

    def block(self, index: int, shape: Shape, stride: int, generator: torch.Generator | None) -> tuple[Block, Shape]:
        """Block ``index`` for an input of ``shape`` and what it puts out; a convolution's stride is multiplied."""
        size = self.hidden[index]
        like = self.neuron.build(1, torch.Generator())
        synapse, after = self._synapse(size, shape, stride, like, generator)
        neuron: Any = self.neuron.build(size, generator)
        if self.recurrent and self.recurrent[index]:
            diagonal, start = self.recurrent_diagonal, self.recurrent_start
            neuron = Recurrent(neuron, zero_diagonal=not diagonal, start=start, generator=generator)
        rate = self.dropout if index else self.input_dropout
        made = Block(TimeTiedDropout(rate), synapse, self._norm(size, like), neuron, memory=self.memory)
        made.plan, made.shape_in, made.shape_out = StackPlan(config=self, index=index), shape, after
        return made, after

    def _synapse(
        self, size: int, shape: Shape, stride: int, like: Neuron, generator: torch.Generator | None
    ) -> tuple[nn.Module, Shape]:
        """A synapse for an input of ``shape``, and the shape that a block puts out."""
        if self.conv is not None:
            channels, length = (1, shape[0]) if len(shape) == 1 else shape
            step = self.conv.stride * stride
            conv = Conv1d(channels, size, kernel=self.conv.kernel, stride=step, generator=generator)
            return conv, (size, conv.length(length))
        last = math.prod(shape)
        if self.delay is not None:
            return DelayLinear(last, size, self.delay, generator=generator), (size,)
        inputs, disjoint = len(like.inputs), getattr(like, "disjoint_inputs", False)
        if inputs > 1:
            return BranchedDense(last, size, inputs, disjoint=disjoint, generator=generator), (size,)
        return Dense(last, size, generator=generator), (size,)

    def _norm(self, size: int, like: Neuron) -> nn.Module | None:
        """The normalisation of a block's currents: one, or one for each input of the neurons."""
        count = len(like.inputs)
        if self.norm == "none":
            return None
        norms = [self._one_norm(size, like) for _ in range(count)]
        if count == 1:
            return norms[0]
        return EachInputStepwise(norms) if self.norm in _STEPWISE else EachInput(norms)

    def _one_norm(self, size: int, like: Neuron) -> nn.Module:
        steps = self.norm_steps or 0
        match self.norm:
            case "layer":
                return LayerNorm(size)
            case "tdbn":
                return ThresholdBatchNorm(size, threshold=initial_threshold(like))
            case "tebn":
                return TemporalEffectiveBatchNorm(size, steps=steps)
            case "bntt":
                return BatchNormThroughTime(size, steps=steps)
        return BatchNorm(size, per_step=self.norm == "batch-step")


@dataclasses.dataclass(frozen=True, kw_only=True)
class StackPlan:
    """How block ``index`` of a stack is made; see :class:`~spikeworks.models.plan.BlockPlan`."""

    config: StackConfig
    index: int

    @property
    def outputs(self) -> int:
        """Neurons, or channels, of the block."""
        return self.config.hidden[self.index]

    @property
    def stride(self) -> int:
        """1: what a convolution's stride is multiplied with."""
        return 1

    @property
    def emits(self) -> Emits:
        """What the neurons put out."""
        return "spikes"

    def shape_after(self, shape: Shape, stride: int) -> Shape:
        """What a block for ``shape`` puts out."""
        return self.config.block(self.index, shape, stride, torch.Generator())[1]

    def build(self, shape: Shape, stride: int, generator: torch.Generator | None) -> Block:
        """A fresh block like it for inputs of ``shape``."""
        return self.config.block(self.index, shape, stride, generator)[0]


def initial_threshold(neuron: Neuron) -> float:
    """The threshold that neurons of this kind start with, one for all of them.

    Raises:
        ConfigError: there is none to scale currents to.
    """
    given = getattr(neuron.config, "threshold", None)
    if "threshold" in neuron.parameters_declared and given is not None and given > 0:
        return float(given)
    found = "one above 0" if given is None else f"one above 0, but {given:g}"
    raise ConfigError(
        f"norm tdbn scales currents to the neurons' initial threshold, and {type(neuron).__name__} has not {found}.",
        "take norm batch",
    )
