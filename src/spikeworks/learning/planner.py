"""What local learning will keep in memory, and the cuts and auxiliary networks that fit a budget.

Nothing is computed: blocks run on fake tensors under the meter that measures real ones. For packed blocks, which run
again in backward, the figure is an upper bound. Gradients of activations, which live for a moment in
backward, are not in it: what is alive at once came out 15 to 45 percent above a tight plan. Activations
are those of STDL's space-outer order (arXiv 2506.01117 and its sheet): at any time one part and one
chunk of steps, what waits at the cuts, all parameters with the optimiser's state, and the gradients of one
part.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from ..core.errors import ConfigError
from ..core.quantities import size as show_bytes
from ..core.state import tensor_bytes
from ..measure.memory import MemoryReport, predict
from ..models import Network
from ..models.plan import Shape
from ..optim import OptimizerConfig
from .partition import Segment, partition, select_exact, select_uniform
from .parts import Part, auxiliary_network, plan_of, shape_out, stride_to

_METERED = 16
"""Steps on which the cost of a step is measured; kernels keep states every 64 steps, which is less than a percent."""
_SHARES = 24
"""How many allowances are tried between nothing and everything."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class PartBytes:
    """What one part takes in training, in bytes for the whole batch.

    Attributes:
        segment: its first and last block; chosen: the later blocks that its auxiliary network is like.
        saved: kept for backward for a chunk of steps.
        states: of neurons, at the end of a chunk.
        waiting: spikes at both of its cuts, for all steps.
        parameters, auxiliary: weights of its blocks (with the real readout) and of what is thrown away.
    """

    segment: Segment
    chosen: tuple[int, ...]
    saved: int
    states: int
    waiting: int
    parameters: int
    auxiliary: int

    @property
    def running(self) -> int:
        """What it takes while it learns, beyond weights and the optimiser's state."""
        return self.saved + self.states + self.waiting + self.parameters + self.auxiliary  # one gradient a weight


@dataclasses.dataclass(frozen=True, kw_only=True)
class MemoryPlan:
    """Parts, the length of a chunk, and the bytes that training is going to hold.

    Attributes:
        chunk: steps run at once; steps: of a sequence; batch: sequences.
        weights: all weights and the optimiser's state for them.
    """

    parts: tuple[PartBytes, ...]
    chunk: int
    steps: int
    batch: int
    weights: int

    @property
    def total(self) -> int:
        """The peak: weights and the dearest part."""
        return self.weights + max(part.running for part in self.parts)

    @property
    def saved(self) -> int:
        """The most that is kept for backward at once."""
        return max(part.saved for part in self.parts)

    def lines(self) -> list[str]:
        """The plan in words, a line a part."""
        head = (
            f"{len(self.parts)} part{'s' * (len(self.parts) > 1)}, {self.chunk} of {self.steps} steps at once, "
            f"batches of {self.batch}: {show_bytes(self.total)}, of it weights and optimiser {show_bytes(self.weights)}"
        )
        rows = [
            f"  blocks {p.segment[0]} to {p.segment[1]}: "
            + (f"auxiliary network like blocks {', '.join(map(str, p.chosen))}" if p.chosen else _head(p, self))
            + f"; for backward {show_bytes(p.saved)}, running {show_bytes(p.running)}"
            for p in self.parts
        ]
        return [head, *rows]


def _head(part: PartBytes, plan: MemoryPlan) -> str:
    return "the network's own readout" if part is plan.parts[-1] else "a linear head alone"


class Costs:
    """Bytes of the blocks of a network and of their copies, for one sequence of one step.

    Args:
        network: has blocks with plans.
    """

    def __init__(self, network: Network) -> None:
        self.network = network
        self._known: dict[Any, tuple[float, int, Shape]] = {}
        self.blocks = [_a_step(block, block.shape_in) for block in _shaped(network)]

    def copy(self, q: int, shape: Shape) -> tuple[float, int, Shape]:
        """Saved bytes, bytes of weights and output shape of a copy of block ``q`` fed with ``shape``."""
        plan, stride = plan_of(self.network, q), stride_to(shape, shape_out(self.network, q))
        key = (plan, shape, stride)
        if key not in self._known:
            block = plan.build(shape, stride, torch.Generator())
            self._known[key] = _a_step(block, shape), tensor_bytes(block.parameters()), block.shape_out
        return self._known[key]


def _a_step(block: nn.Module, shape: Shape) -> float:
    """Bytes that a block keeps for one sequence of one step."""
    return predict(_Fed(block), (_METERED, 1, *shape)).saved_bytes / _METERED


class _Fed(nn.Module):
    """A block whose input was computed, so that it counts where the block keeps it."""

    def __init__(self, block: nn.Module) -> None:
        super().__init__()
        self.block = block

    def forward(self, x: Tensor) -> Any:
        return self.block(x.clone())


def _shaped(network: Network) -> list[Any]:
    for index in range(len(network.blocks)):
        shape_out(network, index)  # raises in words
    return list(network.blocks)


def choose(
    network: Network,
    costs: Costs,
    segments: Sequence[Segment],
    allowance: float,
    selector: str,
    weight: float = 0.0,
) -> list[tuple[int, ...]] | None:
    """The auxiliary blocks of each part such that part and auxiliary network cost at most ``allowance``.

    Args:
        allowance: bytes of one sequence and step.
        selector: ``uniform`` or ``exact``.
        weight: what a byte of a copy's weights adds to its cost.

    Returns:
        One choice a part, or ``None`` where a part alone costs more.
    """
    select = select_uniform if selector == "uniform" else select_exact
    blocks = len(network.blocks)

    def cost_at(q: int, shape: Shape) -> tuple[float, Shape]:
        saved, weights, after = costs.copy(q, shape)
        return saved + weight * weights, after

    chosen: list[tuple[int, ...]] = []
    for first, last in segments:
        room = allowance - sum(costs.blocks[first : last + 1])
        if room < -1e-6 * allowance:
            return None
        done = last == blocks - 1
        chosen.append(() if done else select(last, blocks, room, shape_out(network, last), cost_at))
    return chosen


def measured(
    network: Network,
    segments: Sequence[Segment],
    chosen: Sequence[tuple[int, ...]],
    *,
    steps: int,
    batch: int,
    chunk: int,
    optimizer: OptimizerConfig,
) -> MemoryPlan:
    """The bytes of given parts, each predicted as a whole for the real batch."""
    parts = []
    for (first, last), after in zip(segments, chosen, strict=True):
        final = last == len(network.blocks) - 1
        blocks, head = ([], network.readout) if final else auxiliary_network(network, last, after, torch.Generator())
        part = Part(network, (first, last), blocks, head, after)
        report = _predicted(part, network, first, chunk, batch, continued=chunk < steps)
        thrown = sum(tensor_bytes(module.parameters()) for module in part.thrown_away)
        cuts = waiting(network, first - 1, steps, batch) + (0 if final else waiting(network, last, steps, batch))
        found = PartBytes(
            segment=(first, last),
            chosen=tuple(after),
            saved=report.saved_bytes,
            states=report.state_bytes,
            waiting=cuts,
            parameters=tensor_bytes(part.parameters()) - thrown,
            auxiliary=thrown,
        )
        parts.append(found)
    weights = sum(p.parameters + p.auxiliary for p in parts)
    held = round(weights * (1 + state_share(optimizer)))
    return MemoryPlan(parts=tuple(parts), chunk=chunk, steps=steps, batch=batch, weights=held)


def _predicted(part: Part, network: Network, first: int, chunk: int, batch: int, *, continued: bool) -> MemoryReport:
    def loss(outputs: Tensor) -> Tensor:
        return -outputs.log_softmax(-1)[..., 0].mean()

    shape = (chunk, batch, *_shaped(network)[first].shape_in)
    if part.embedding is not None:
        report = predict(part, (batch, chunk), torch.int64, loss)
    else:
        report = predict(part if first == 0 else _Fed(part), shape, loss=loss)
    again = max((_again(block, chunk, batch) for block in (*part.blocks, *part.auxiliary)), default=0)
    if again and continued:  # packed blocks keep the states that a chunk begins with
        again += report.state_bytes
    return dataclasses.replace(report, saved_bytes=report.saved_bytes + again)


def _again(block: Any, chunk: int, batch: int) -> int:
    """What a packed block keeps while backward runs it a second time."""
    if getattr(block, "memory", "full") == "full":
        return 0
    block.memory = "full"
    try:
        return predict(_Fed(block), (chunk, batch, *block.shape_in)).saved_bytes
    finally:
        block.memory = "packed"


def waiting(network: Network, index: int, steps: int, batch: int) -> int:
    """Bytes of what block ``index`` puts out, for all steps; nothing before the first block."""
    if index < 0:
        return 0
    values = steps * batch * math.prod(shape_out(network, index))
    return -(-values // 8) if plan_of(network, index).emits == "spikes" else 4 * values


def state_share(optimizer: OptimizerConfig) -> float:
    """Bytes of the optimiser's state for each byte of weights, found by one step of it."""
    weight = nn.Parameter(torch.zeros(32, 32))
    weight.grad = torch.zeros_like(weight)
    made = optimizer.build([{"params": [weight], "weight_decay": 0.0}])
    made.step()
    held = [v for v in made.state[weight].values() if isinstance(v, Tensor) and v.dim()]
    return tensor_bytes(held) / tensor_bytes([weight])


def fit(
    network: Network,
    budget: int,
    *,
    steps: int,
    batch: int,
    window: int | None,
    selector: str,
    optimizer: OptimizerConfig,
    parts: int | None = None,
    chunk: int | None = None,
) -> MemoryPlan:
    """The fewest cuts whose training fits into ``budget`` bytes with an auxiliary network behind each of them.

    Where no number of cuts leaves room for that, the one with the most auxiliary blocks is taken. Of the
    lengths of a chunk the longest that fits is.

    Args:
        parts, chunk: fixed by the user, or ``None``.

    Raises:
        ConfigError: it cannot be met; the message says what is possible and what takes it.
    """
    costs = Costs(network)
    blocks = len(network.blocks)
    best: MemoryPlan | None = None
    least: MemoryPlan | None = None
    for count in [parts] if parts is not None else range(1, blocks + 1):
        segments = partition(costs.blocks, count)
        if parts is None and len(segments) < count:
            continue
        for length in [chunk] if chunk is not None else chunk_lengths(steps, window):
            size = {"steps": steps, "batch": batch, "chunk": length, "optimizer": optimizer}
            bare = measured(network, segments, [()] * len(segments), **size)
            least = bare if least is None or bare.total < least.total else least
            if bare.total > budget:
                continue
            found = _largest(network, costs, segments, budget, selector, size) or bare
            if all(part.chosen for part in found.parts[:-1]):
                return found
            if best is None or _chosen(found) > _chosen(best):
                best = found
    if best is not None:
        return best
    assert least is not None
    dearest = max(least.parts, key=lambda part: part.running)
    raise ConfigError(
        f"A memory of {show_bytes(budget)} is too small: the least for this network is {show_bytes(least.total)} in "
        f"{len(least.parts)} parts and chunks of {least.chunk} steps. Weights and optimiser take "
        f"{show_bytes(least.weights)}; blocks {dearest.segment[0]} to {dearest.segment[1]} take "
        f"{show_bytes(dearest.saved)} for backward, {show_bytes(dearest.waiting)} for spikes at their cuts and "
        f"{show_bytes(dearest.states + dearest.parameters + dearest.auxiliary)} for states and gradients.",
        "allow more memory, take smaller batches, or an optimizer with less state",
    )


def _chosen(plan: MemoryPlan) -> int:
    return sum(len(part.chosen) for part in plan.parts)


def _largest(
    network: Network, costs: Costs, segments: Sequence[Segment], budget: int, selector: str, size: dict[str, Any]
) -> MemoryPlan | None:
    """The choice of the largest allowance a part that fits; found among evenly spaced allowances."""
    whole = sum(costs.blocks)
    sequences = size["chunk"] * size["batch"]
    weight = (2 + state_share(size["optimizer"])) / sequences  # as bytes of a sequence and step
    low, high = 0, _SHARES
    best = None
    while low < high:
        middle = (low + high + 1) // 2
        chosen = choose(network, costs, segments, whole * 1.5 * middle / _SHARES, selector, weight)
        plan = None if chosen is None else measured(network, segments, chosen, **size)
        if plan is None or plan.total <= budget:
            low, best = middle, plan or best
        else:
            high = middle - 1
    return best


def chunk_lengths(steps: int, window: int | None) -> list[int]:
    """Lengths of a chunk that hold whole windows, from all steps down to one window."""
    if window is None:
        return [steps]
    lengths, size = [], steps
    while size > window:
        lengths.append(-(-size // window) * window)
        size //= 2
    return [*dict.fromkeys(lengths), window]
