"""Stacks of CE-LIF neurons that share one table of contexts, as the sequence benchmarks count them."""

from __future__ import annotations

import dataclasses
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from ..core.config import config_kind
from ..core.errors import ConfigError
from ..layers import ReadoutConfig
from ..neurons import CELIF, Neuron, Parameter, Surrogate, real
from .network import Block, Memory, Network
from .plan import Shape
from .registry import NETWORKS
from .stack import ModelConfig, Norm, StackConfig


class Contexts(nn.Module):
    """A table of a value for each step and neuron, ``[steps, size]``, from N(0.01, 0.01^2); no weight decay."""

    parameter_rates: ClassVar = {"weight": 1.0}

    def __init__(self, steps: int, size: int, generator: torch.Generator | None) -> None:
        super().__init__()
        self.weight = nn.Parameter(0.01 + 0.01 * torch.randn(steps, size, generator=generator))


@dataclasses.dataclass(frozen=True)
class _Shared(Parameter):
    """The first columns of the table ``contexts`` that the neuron holds."""

    @property
    def key(self) -> str:
        return "contexts"

    def create(self, neuron: Neuron, generator: torch.Generator | None) -> None:
        table: Any = Contexts(neuron.config.steps, neuron.size, generator)
        neuron.contexts = table

    def value(self, neuron: Neuron) -> Tensor:
        contexts: Any = neuron.contexts
        return contexts.weight[:, : neuron.size]


class SharedCELIF(CELIF):
    """CE-LIF whose table of contexts is the module ``contexts``, which other layers may hold as well."""

    context = _Shared(None, real, trainable=False, per="step", doc="effect of the potential on the threshold, E")


@dataclasses.dataclass(frozen=True, kw_only=True)
class _ContextStack(StackConfig):
    def build(self, inputs: int, outputs: int, generator: torch.Generator, *, tokens: bool = False) -> Network:
        network = super().build(inputs, outputs, generator, tokens=tokens)
        neurons: list[Any] = [neuron for _, neuron in network.neurons()]
        shared = Contexts(self.neuron.steps, max(self.hidden), generator)  # type: ignore[attr-defined]
        for neuron in neurons:
            neuron.contexts = shared
        return network

    def block(self, index: int, shape: Shape, stride: int, generator: torch.Generator | None) -> tuple[Block, Shape]:
        made, after = super().block(index, shape, stride, generator)
        made.plan = made.shape_in = made.shape_out = None  # blocks that share a table cannot learn apart
        return made, after


@NETWORKS.register("context-stack")
@config_kind("model", "context-stack")
@dataclasses.dataclass(frozen=True, kw_only=True)
class ContextStackConfig(ModelConfig):
    """Stack of CE-LIF neurons with one table of contexts for all layers, as wide as the widest of them.

    A stack of ``ce-lif`` neurons has a table for each layer; this one has the parameters that the benchmarks count.
    The table is a clock: it tells each step of a sequence apart from the others, and ends after ``steps``.
    Layers that share it are not cut by local learning.

    Args:
        hidden: neurons of each layer.
        steps: longest sequence from rest, chunks and streams included.
        decay, threshold, relaxation, surrogate: of the neurons, see :class:`~spikeworks.neurons.CELIF`.
        recurrent, norm, dropout, readout, memory: as for a stack.

    Source: arXiv 2308.15150, shared as in arXiv 2505.22035.

    Example:
        >>> network = ContextStackConfig(hidden=(16, 8), steps=50).build(3, 2, torch.Generator().manual_seed(0))
        >>> network(torch.rand(30, 4, 3))[0].shape
        torch.Size([4, 2])
    """

    hidden: tuple[int, ...] = (128, 152, 152)
    steps: int = 1024
    decay: float = 0.5
    threshold: float = 0.5
    relaxation: float = 0.02
    surrogate: Surrogate = Surrogate(width=0.4)
    recurrent: tuple[bool, ...] = ()
    norm: Norm = "none"
    dropout: float = 0.0
    readout: ReadoutConfig = dataclasses.field(default_factory=ReadoutConfig)
    memory: Memory = "full"

    def __post_init__(self) -> None:
        if self.steps < 1:
            raise ConfigError(f"A table of contexts needs at least one step, got steps={self.steps}.")
        self.stack()

    def stack(self) -> StackConfig:
        """The stack that it is; raises ConfigError where there can be none."""
        neuron = SharedCELIF.Config(
            decay=self.decay,  # type: ignore[call-arg]
            threshold=self.threshold,  # type: ignore[call-arg]
            relaxation=self.relaxation,  # type: ignore[call-arg]
            surrogate=self.surrogate,  # type: ignore[call-arg]
            steps=self.steps,  # type: ignore[call-arg]
        )
        return _ContextStack(
            hidden=self.hidden,
            neuron=neuron,
            recurrent=self.recurrent,
            norm=self.norm,
            dropout=self.dropout,
            readout=self.readout,
            memory=self.memory,
        )

    def build(self, inputs: Any, outputs: int, generator: torch.Generator, *, tokens: bool = False) -> Network:
        return self.stack().build(inputs, outputs, generator, tokens=tokens)
