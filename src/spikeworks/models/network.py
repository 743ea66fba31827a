"""Networks: ordered blocks and a readout, with the state as argument and result."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal, NamedTuple

from torch import Tensor, nn

from ..core.errors import ShapeError
from ..core.state import State, check_time_first
from ..kernels import recomputed
from ..layers import Embedding, Readout, Recurrent, TimeTiedDropout
from ..neurons import Neuron
from .plan import BlockPlan, Shape

Memory = Literal["full", "packed"]


class NetworkState(NamedTuple):
    """States of the blocks, in order, and of the readout."""

    blocks: tuple[State, ...]
    readout: State


class BlockState(NamedTuple):
    """States of the neurons, of a synapse that has one (delays) and of a normalisation that has one (the step)."""

    synapse: State
    neuron: State
    norm: State = None


class Block(nn.Module):
    """Dropout, synapse, normalisation, neurons: the unit by which a network is cut.

    ``x [T, B, ...]`` and a state in, spikes ``[T, B, N]`` (or ``[T, B, C, L]`` after a
    convolution) and the next state out. For neurons with several inputs the synapse gives, and
    the normalisation takes and gives, a tuple of currents. A synapse or normalisation with the
    attribute ``carries_state`` takes a state behind its input and returns it with its output.

    Attributes:
        memory: ``full`` keeps for backward what autograd wants; ``packed`` keeps the input
            alone, spikes as bits, and runs the block again in backward. Same gradients.
    """

    def __init__(
        self,
        dropout: TimeTiedDropout,
        synapse: nn.Module,
        norm: nn.Module | None,
        neuron: Neuron | Recurrent,
        *,
        memory: Memory = "full",
    ) -> None:
        super().__init__()
        self.memory = memory
        self.plan: BlockPlan | None = None
        """Makes others like it for inputs of another shape."""
        self.shape_in: Shape | None = None
        self.shape_out: Shape | None = None
        self.dropout = dropout
        self.synapse = synapse
        self.norm = norm
        self.neuron = neuron

    def forward(self, x: Tensor, state: State = None, mask: Tensor | None = None) -> tuple[Tensor, State]:
        """Run over time; ``mask [T, B]`` keeps padded steps out of normalisation."""
        return recomputed(self, x, state, mask) if self.memory == "packed" else self.run(x, state, mask)

    def run(self, x: Tensor, state: State = None, mask: Tensor | None = None) -> tuple[Tensor, State]:
        """The computation, by plain autograd."""
        delayed, stepwise = (getattr(part, "carries_state", False) for part in (self.synapse, self.norm))
        x = self.dropout(x)
        if not (delayed or stepwise):
            current = self.synapse(x)
            return self.neuron(current if self.norm is None else self.norm(current, mask), state)
        before, inner, step = BlockState(None, None) if state is None else BlockState(*state)
        current, before = self.synapse(x, before) if delayed else (self.synapse(x), None)
        if self.norm is not None:
            current, step = self.norm(current, step, mask) if stepwise else (self.norm(current, mask), None)
        y, inner = self.neuron(current, inner)
        return y, BlockState(before, inner, step)


class Network(nn.Module):
    """A feed-forward chain of blocks and a readout.

    Attributes:
        embedding: for token ids, else ``None``.
        blocks: the ordered cuts; local learning, meters and early exit use them.
        readout: from the last block to the answer.

    Example:
        ``output, state = network(x)`` with ``x [T, B, C]``, or ids ``[B, T]`` where there is
        an embedding; ``output`` is ``[B, K]``, or ``[T, B, K]`` with a readout of every step.
    """

    def __init__(
        self,
        blocks: list[Block],
        readout: Readout,
        *,
        embedding: Embedding | None = None,
        output_dropout: TimeTiedDropout | None = None,
        inputs: int | None = None,
    ) -> None:
        super().__init__()
        self.embedding = embedding
        self.blocks = nn.ModuleList(blocks)
        self.output_dropout = output_dropout or TimeTiedDropout(0.0)
        self.readout = readout
        self.inputs = inputs

    def forward(
        self, x: Tensor, state: NetworkState | None = None, mask: Tensor | None = None
    ) -> tuple[Tensor, NetworkState]:
        """Run a sequence, or the next chunk of one.

        Args:
            x: ``[T, B, C, ...]`` floats, or ids ``[B, T]``.
            state: of an earlier chunk; ``None`` is rest.
            mask: ``[T, B]`` bool, true where a step belongs to its sequence.

        Raises:
            ShapeError: x, state or mask do not fit the network.
        """
        if self.embedding is not None:
            x = self.embedding(x)
        else:
            check_time_first(x, self.inputs if x.dim() == 3 else None, "The network")
        if mask is not None and mask.shape != x.shape[:2]:
            raise ShapeError(f"The mask expected shape {list(x.shape[:2])}, got {list(mask.shape)}.")
        if state is not None and len(state.blocks) != len(self.blocks):
            raise ShapeError(f"The network has {len(self.blocks)} blocks, the state has {len(state.blocks)}.")
        states = []
        for i, block in enumerate(self.blocks):
            x, after = block(x, None if state is None else state.blocks[i], mask)
            states.append(after)
        output, after = self.readout(self.output_dropout(x), None if state is None else state.readout, mask)
        return output, NetworkState(tuple(states), after)

    def neurons(self) -> Iterator[tuple[str, Neuron]]:
        """Names and modules of all neuron layers."""
        return ((name, m) for name, m in self.named_modules() if isinstance(m, Neuron))

    def parameter_groups(self, weight_decay: float = 0.0) -> list[dict[str, Any]]:
        """See :func:`parameter_groups`."""
        return parameter_groups(self, weight_decay)


def parameter_groups(module: nn.Module, weight_decay: float = 0.0) -> list[dict[str, Any]]:
    """Groups for an optimiser: ``params``, ``weight_decay`` and ``lr_scale``, the factor on the learning rate.

    Weight decay acts on matrices alone; decays, thresholds, biases and gains of neurons have ranges
    and meanings of their own and are left out, as are parameters that a module lists in
    ``parameter_rates`` with a learning rate of their own (delays).
    """
    rates: dict[int, float] = {}
    for part in module.modules():
        if isinstance(part, Neuron):
            rates |= {id(getattr(part, p.key)): p.rate for p in part.parameters_declared.values()}
        for name, rate in getattr(part, "parameter_rates", {}).items():
            rates[id(getattr(part, name))] = rate
    groups: dict[tuple[float, float], list[nn.Parameter]] = {}
    for parameter in module.parameters():
        decay = weight_decay if parameter.dim() > 1 and id(parameter) not in rates else 0.0
        groups.setdefault((decay, rates.get(id(parameter), 1.0)), []).append(parameter)
    return [{"params": p, "weight_decay": d, "lr_scale": s} for (d, s), p in groups.items()]
