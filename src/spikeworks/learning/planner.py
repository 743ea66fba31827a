"""What local learning will keep in memory, and the cuts and auxiliary networks that fit a budget.

Nothing is computed: parts run on fake tensors under the meter that measures real updates (see
:mod:`~spikeworks.learning.rehearsal`). Counted are all weights with the optimiser's state, and the dearest part: what
it holds at once while it learns, the gradients of one part, and what waits meanwhile.
Source: STDL's space-outer order (arXiv 2506.01117 and its sheet).
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from ..core.batch import Batch
from ..core.errors import ConfigError
from ..core.quantities import size as show_bytes
from ..core.state import tensor_bytes
from ..measure import watch_memory
from ..measure.memory import predict
from ..models import Network
from ..models.plan import Shape
from ..optim import OptimizerConfig
from .base import Objective
from .decoupled import Cutting
from .partition import Segment, partition, select_exact, select_uniform
from .parts import Part, auxiliary_network, plan_of, shape_out, stride_to
from .rehearsal import rehearse_part, two_chunks

_METERED = 16
"""Steps on which the cost of a step is measured; kernels keep states every 64 steps, which is less than a percent."""
_SHARES = 24
"""How many allowances are tried between nothing and everything."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class PartBytes:
    """What one part takes in training, in bytes for the whole batch.

    Attributes:
        segment: its first and last block; chosen: the later blocks that its auxiliary network is like.
        saved: the most that is kept for backward at once, of a chunk of steps.
        live: the most that is alive at once while a chunk is run and differentiated, gradients and states included.
        stepping: the same while the optimiser moves its weights.
        states, traces: carried from chunk to chunk.
        waiting: spikes at both of its cuts, for all steps.
        others: states, traces and gradients of other parts meanwhile.
        parameters, auxiliary: weights of its blocks (with the real readout) and of what is thrown away.
    """

    segment: Segment
    chosen: tuple[int, ...]
    saved: int
    live: int
    stepping: int
    states: int
    traces: int
    waiting: int
    others: int
    parameters: int
    auxiliary: int

    @property
    def running(self) -> int:
        """What is alive at once while it learns, beyond weights and the optimiser's state."""
        return max(self.live, self.stepping) + self.waiting + self.others


@dataclasses.dataclass(frozen=True, kw_only=True)
class MemoryPlan:
    """Parts, the length of a chunk, and the bytes that training is going to hold.

    Attributes:
        chunk: steps run at once; steps: of a sequence; batch: sequences.
        weights: all weights and the optimiser's state for them.
        answers: of every step, where they wait for the end of the sequence.
    """

    parts: tuple[PartBytes, ...]
    chunk: int
    steps: int
    batch: int
    weights: int
    answers: int

    @property
    def total(self) -> int:
        """The peak: weights and the dearest part."""
        return self.weights + self.answers + max(part.running for part in self.parts)

    @property
    def live(self) -> int:
        """The most that is alive at once in an update, without weights and all that the optimiser has."""
        return self.answers + max(part.live + part.waiting + part.others for part in self.parts)

    @property
    def saved(self) -> int:
        """The most that is kept for backward at once."""
        return max(part.saved for part in self.parts)

    @property
    def traces(self) -> int:
        """Of all parts together."""
        return sum(part.traces for part in self.parts)

    def lines(self) -> list[str]:
        """The plan in words, a line a part."""
        head = (
            f"{len(self.parts)} part{'s' * (len(self.parts) > 1)}, {self.chunk} of {self.steps} steps at once, "
            f"batches of {self.batch}: {show_bytes(self.total)}, of it weights and optimiser {show_bytes(self.weights)}"
        )
        rows = [
            f"  blocks {p.segment[0]} to {p.segment[1]}: "
            + (f"auxiliary network like blocks {', '.join(map(str, p.chosen))}" if p.chosen else _head(p, self))
            + f"; for backward {show_bytes(p.saved)}, at once {show_bytes(p.running)}"
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
    parts: Sequence[Part],
    cutting: Cutting,
    objective: Objective,
    example: Batch,
    optimizer: OptimizerConfig | None = None,
    known: dict[Any, Any] | None = None,
) -> MemoryPlan:
    """The bytes of given parts for batches like ``example``.

    Args:
        optimizer: what its state and its step take is counted as well.
        known: remembers parts between calls with the same network, objective, example and traces.
    """
    known = {} if known is None else known
    steps, batch = example.length, example.size
    chunk = cutting.size(steps)
    space = cutting.order == "space"
    share, moment = (0.0, lambda sizes: 0) if optimizer is None else optimizer_bytes(optimizer)
    gradients = [tensor_bytes(p for p in part.parameters() if p.requires_grad) for part in parts]
    found: list[PartBytes] = []
    for index, part in enumerate(parts):
        first, last = part.segment
        key = (part.segment, part.chosen, chunk)
        if key not in known:
            x = example.span(slice(0, chunk))
            if first:
                x = next(part.parameters()).new_zeros(()).expand(chunk, batch, *_shaped(network)[first].shape_in)
            known[key] = rehearse_part(
                part,
                objective,
                x,
                two_chunks(steps, chunk),
                sequence_loss=cutting.loss == "sequence",
                words=network.embedding is not None,
            )
        seen, states, traces = known[key]
        cuts = (first - 1,) if part.final else (first - 1, last)
        learning = [p for p in part.parameters() if p.requires_grad]
        others = sum(earlier.states + earlier.traces * (not space) for earlier in found)
        if not space:
            others += sum(gradients if chunk < steps else gradients[: index + 1]) - gradients[index]
        thrown = sum(tensor_bytes(module.parameters()) for module in part.thrown_away)
        one = PartBytes(
            segment=part.segment,
            chosen=tuple(part.chosen),
            saved=seen.saved_peak,
            live=seen.live_peak,
            stepping=gradients[index] + states + traces + moment([tensor_bytes([p]) for p in learning]),
            states=states,
            traces=traces,
            waiting=sum(waiting(network, i, steps, batch) for i in cuts) if space else 0,
            others=others,
            parameters=tensor_bytes(part.parameters()) - thrown,
            auxiliary=thrown,
        )
        found.append(one)
    weights = sum(p.parameters + p.auxiliary for p in found)
    return MemoryPlan(
        parts=tuple(found),
        chunk=chunk,
        steps=steps,
        batch=batch,
        weights=round(weights * (1 + share)),
        answers=answer_bytes(network, example, chunk),
    )


def answer_bytes(network: Network, example: Batch, chunk: int) -> int:
    """Answers of every step, which wait for the end of the sequence where they come in chunks."""
    if network.readout.config.kind != "every" or chunk >= example.length:
        return 0
    weight = network.readout.linear.weight
    return example.length * example.size * len(weight) * weight.element_size()


def make_parts(network: Network, segments: Sequence[Segment], chosen: Sequence[tuple[int, ...]]) -> list[Part]:
    """Parts to be measured and thrown away."""
    parts = []
    for (first, last), after in zip(segments, chosen, strict=True):
        final = last == len(network.blocks) - 1
        blocks, head = ([], network.readout) if final else auxiliary_network(network, last, after, torch.Generator())
        parts.append(Part(network, (first, last), blocks, head, after))
    return parts


def waiting(network: Network, index: int, steps: int, batch: int) -> int:
    """Bytes of what block ``index`` puts out, for all steps; nothing before the first block."""
    if index < 0:
        return 0
    values = steps * batch * math.prod(shape_out(network, index))
    return -(-values // 8) if plan_of(network, index).emits == "spikes" else 4 * values


def optimizer_bytes(optimizer: OptimizerConfig) -> tuple[float, Callable[[Sequence[int]], int]]:
    """What an optimiser takes, found by steps of it on small weights.

    Returns:
        Bytes of its state for each byte of weights, and what a step takes for a moment on weights of given bytes.
    """
    alone, state = _stepped(optimizer, 1)
    both, _ = _stepped(optimizer, 2)
    together = both > 1.5 * alone  # all weights in one call, or one after the other
    return state, lambda sizes: round(alone * (sum(sizes) if together else max(sizes, default=0)))


def _stepped(optimizer: OptimizerConfig, count: int) -> tuple[float, float]:
    """The most that a second step makes, and the state, as shares of the weights (of one of them)."""
    weights = [nn.Parameter(torch.zeros(32, 32)) for _ in range(count)]
    for weight in weights:
        weight.grad = torch.zeros_like(weight)
    made = optimizer.build([{"params": weights, "weight_decay": 0.0}])
    made.step()
    held = [v for v in made.state[weights[0]].values() if isinstance(v, Tensor) and v.dim()]
    with watch_memory() as seen:
        made.step()
    one = tensor_bytes(weights[:1])
    return seen.live_peak / one, tensor_bytes(held) / one


def fit(
    network: Network,
    budget: int,
    cutting: Cutting,
    objective: Objective,
    example: Batch,
    *,
    selector: str,
    optimizer: OptimizerConfig,
    parts: int | None = None,
) -> MemoryPlan:
    """The fewest cuts whose training fits into ``budget`` bytes with an auxiliary network behind each of them.

    Where no number of cuts leaves room for that, the one with the most auxiliary blocks is taken. Of the
    lengths of a chunk the longest that fits is.

    Args:
        cutting: its chunk, where it has one, is kept.
        parts: fixed by the user, or ``None``.

    Raises:
        ConfigError: it cannot be met; the message says what is possible and what takes it.
    """
    search = _Search(network, budget, objective, example, selector, optimizer)
    blocks = len(network.blocks)
    counts = [parts] if parts is not None else range(1, blocks + 1)
    divided = [s for n in counts if len(s := partition(search.costs.blocks, n)) == n or parts is not None]
    tried = [(segments, cut) for segments in divided for cut in _cuttings(cutting, example.length)]
    best: MemoryPlan | None = None
    for segments, cut in tried:
        if search.at_least(segments, cut) > budget:
            continue
        bare = search.bare(segments, cut)
        if bare.total > budget:
            continue
        found = search.largest(segments, cut) or bare
        if all(part.chosen for part in found.parts[:-1]):
            return found
        if best is None or _chosen(found) > _chosen(best):
            best = found
    if best is not None:
        return best
    least = min((search.bare(segments, cut) for segments, cut in tried), key=lambda plan: plan.total)
    dearest = max(least.parts, key=lambda part: part.running)
    raise ConfigError(
        f"A memory of {show_bytes(budget)} is too small: the least for this network is {show_bytes(least.total)} in "
        f"{len(least.parts)} parts and chunks of {least.chunk} steps. Weights and optimiser take "
        f"{show_bytes(least.weights)}; blocks {dearest.segment[0]} to {dearest.segment[1]} take "
        f"{show_bytes(dearest.running - dearest.waiting)} while they learn, of it {show_bytes(dearest.saved)} for "
        f"backward, and {show_bytes(dearest.waiting)} for spikes at their cuts.",
        "allow more memory, take smaller batches, or an optimizer with less state",
    )


def _chosen(plan: MemoryPlan) -> int:
    return sum(len(part.chosen) for part in plan.parts)


def _cuttings(cutting: Cutting, steps: int) -> list[Cutting]:
    """``cutting`` with its own chunk, or with every length that comes into question, from the longest on."""
    if cutting.chunk is not None or cutting.window is None:
        return [cutting]
    return [dataclasses.replace(cutting, chunk=length) for length in chunk_lengths(steps, cutting.window)]


class _Search:
    """Plans of one network for one budget; parts that were measured once are remembered."""

    def __init__(
        self,
        network: Network,
        budget: int,
        objective: Objective,
        example: Batch,
        selector: str,
        optimizer: OptimizerConfig,
    ) -> None:
        self.network, self.budget, self.selector = network, budget, selector
        self.objective, self.example, self.optimizer = objective, example, optimizer
        self.costs = Costs(network)
        self._known: dict[Any, Any] = {}
        self._state, _ = optimizer_bytes(optimizer)

    def plan(self, segments: Sequence[Segment], chosen: Sequence[tuple[int, ...]], cutting: Cutting) -> MemoryPlan:
        """The bytes of these parts."""
        parts = make_parts(self.network, segments, chosen)
        cutting.begin(parts, self.example)
        return measured(self.network, parts, cutting, self.objective, self.example, self.optimizer, self._known)

    def bare(self, segments: Sequence[Segment], cutting: Cutting) -> MemoryPlan:
        """Without auxiliary blocks."""
        return self.plan(segments, [()] * len(segments), cutting)

    def at_least(self, segments: Sequence[Segment], cutting: Cutting) -> float:
        """Bytes that no plan of these parts stays below: the network's weights, and what its dearest part keeps."""
        sequences = cutting.size(self.example.length) * self.example.size
        dearest = max(sum(self.costs.blocks[first : last + 1]) for first, last in segments)
        return tensor_bytes(self.network.parameters()) * (1 + self._state) + sequences * dearest

    def largest(self, segments: Sequence[Segment], cutting: Cutting) -> MemoryPlan | None:
        """The choice of the largest allowance a part that fits; found among evenly spaced allowances."""
        whole = sum(self.costs.blocks)
        sequences = cutting.size(self.example.length) * self.example.size
        weight = (2 + self._state) / sequences  # as bytes of a sequence and step
        low, high = 0, _SHARES
        best = None
        while low < high:
            middle = (low + high + 1) // 2
            allowance = whole * 1.5 * middle / _SHARES
            chosen = choose(self.network, self.costs, segments, allowance, self.selector, weight)
            plan = None if chosen is None else self.plan(segments, chosen, cutting)
            if plan is None or plan.total <= self.budget:
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
