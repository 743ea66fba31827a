"""The gated spiking recurrent network of the sequence benchmarks."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from ..core.config import config_kind
from ..layers import ReadoutConfig
from ..layers.synapse import uniform_
from ..neurons import Neuron, Parameter, Surrogate, real
from .network import Block, Memory, Network
from .plan import Shape
from .registry import NETWORKS
from .stack import EmbeddingConfig, ModelConfig, StackConfig


class GatedCell(Neuron):
    """The cell of gated stacks: ``f = sigmoid(gate)``, ``c <- f c + (1 - f) cell``, fire where ``c >= threshold``.

    As :class:`~spikeworks.neurons.GSN` with two inputs, without biases of its own, which its synapses bring, and
    with a threshold. Nothing is reset.
    """

    inputs = ("gate", "cell")
    states = ("memory",)

    threshold = Parameter(0.5, real, trainable=False, doc="firing threshold")

    def step(self, gate: Tensor, cell: Tensor, memory: Tensor, *, threshold: Tensor) -> Sequence[Tensor]:  # type: ignore[override]
        memory = memory + (1.0 - torch.sigmoid(gate)) * (cell - memory)
        return self.fire(memory - threshold), memory


@dataclasses.dataclass(frozen=True, kw_only=True)
class _GatedStack(StackConfig):
    """A recurrent stack whose weights and biases all start as U(-1/sqrt(N), 1/sqrt(N)), N the neurons of a block."""

    def block(self, index: int, shape: Shape, stride: int, generator: torch.Generator | None) -> tuple[Block, Shape]:
        made, after = super().block(index, shape, stride, generator)
        for parameter in made.parameters():
            uniform_(parameter, 1.0 / math.sqrt(self.hidden[index]), generator)
        return made, after


@NETWORKS.register("gated")
@config_kind("model", "gated")
@dataclasses.dataclass(frozen=True, kw_only=True)
class GatedConfig(ModelConfig):
    """Gated spiking recurrent network (GSN, GSU): every layer hears its own spikes and gates its own memory.

    ``f = sigmoid(W_f x + U_f s + b)``, ``c <- f c + (1 - f) (W_c x + U_c s + b')``, a spike where ``c >= threshold``,
    without reset; inputs and feedback each bring a bias. All of them start as U(-1/sqrt(N), 1/sqrt(N)), N the neurons
    of the layer. A stack of ``gsn`` neurons is the same but for a third bias, and takes normalisation and delays.

    Args:
        hidden: neurons of each layer.
        threshold: at which they fire.
        surrogate: derivative of the spike in backward.
        dropout: before each layer but the first and before the readout, tied over time.
        readout: how the answer is read.
        embedding: for token tasks.
        memory: as for a stack.

    Source: Spiking-FullSubNet, arXiv 2410.04785, as in arXiv 2502.09449 and 2505.22035.

    Example:
        >>> network = GatedConfig(hidden=(16, 16)).build(3, 2, torch.Generator().manual_seed(0))
        >>> network(torch.rand(30, 4, 3))[0].shape
        torch.Size([4, 2])
    """

    hidden: tuple[int, ...] = (64, 112, 112)
    threshold: float = 0.5
    surrogate: Surrogate = Surrogate(width=0.6)
    dropout: float = 0.0
    readout: ReadoutConfig = dataclasses.field(default_factory=ReadoutConfig)
    embedding: EmbeddingConfig | None = None
    memory: Memory = "full"

    def __post_init__(self) -> None:
        self.stack()

    def stack(self) -> StackConfig:
        """The stack that it is; raises ConfigError where there can be none."""
        return _GatedStack(
            hidden=self.hidden,
            neuron=GatedCell.Config(threshold=self.threshold, surrogate=self.surrogate),  # type: ignore[call-arg]
            recurrent=(True,) * len(self.hidden),
            dropout=self.dropout,
            readout=self.readout,
            embedding=self.embedding,
            memory=self.memory,
        )

    def build(self, inputs: Any, outputs: int, generator: torch.Generator, *, tokens: bool = False) -> Network:
        return self.stack().build(inputs, outputs, generator, tokens=tokens)
