"""What parts of a network hold in memory while they learn, known before they do.

Nothing is computed: parts run on fake tensors under the meter that measures real updates (see
:mod:`~spikeworks.learning.rehearsal`). Counted are all weights with the optimiser's state, and the dearest part: what
it holds at once while it learns, the gradients of one part, and what waits meanwhile.
Source: STDL's space-outer order (arXiv 2506.01117 and its sheet).
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from ..core.batch import Batch
from ..core.quantities import size as show_bytes
from ..core.state import tensor_bytes
from ..measure import watch_memory
from ..models import Network
from ..optim import OptimizerConfig
from .base import Objective
from .decoupled import Cutting
from .partition import Segment
from .parts import Part, auxiliary_network, plan_of, shape_in, shape_out
from .rehearsal import rehearse_part, steps_have_targets, two_chunks


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


@dataclasses.dataclass(frozen=True, kw_only=True)
class OptimizerBytes:
    """What an optimiser takes beside weights and gradients, in bytes for each byte of weights.

    Attributes:
        state: kept; step: made for a moment by a step.
        together: whether a step makes that for all weights in one call, or for one after the other.
    """

    state: float
    step: float
    together: bool

    def of_step(self, sizes: Sequence[int]) -> int:
        """What a step makes on weights of these bytes."""
        return round(self.step * (sum(sizes) if self.together else max(sizes, default=0)))


def measured(
    network: Network,
    parts: Sequence[Part],
    cutting: Cutting,
    objective: Objective,
    example: Batch,
    optimizer: OptimizerBytes | None = None,
    known: dict[Any, Any] | None = None,
) -> MemoryPlan:
    """The bytes of given parts for batches like ``example``.

    Args:
        optimizer: what its state and its step take, to be counted as well.
        known: remembers parts between calls with the same network, objective, example and traces.
    """
    known = {} if known is None else known
    steps, batch = example.length, example.size
    chunk = cutting.size(steps)
    space = cutting.order == "space"
    taken = optimizer or OptimizerBytes(state=0.0, step=0.0, together=False)
    learning = [[tensor_bytes([p]) for p in part.parameters() if p.requires_grad] for part in parts]
    gradients = [sum(sizes) for sizes in learning]
    found: list[PartBytes] = []
    for index, part in enumerate(parts):
        first, last = part.segment
        key = (part.segment, part.chosen, chunk)
        if key not in known:
            x = example.span(slice(0, chunk))
            if first:
                x = next(part.parameters()).new_zeros(()).expand(chunk, batch, *shape_in(network, first))
            known[key] = rehearse_part(
                part,
                objective,
                x,
                two_chunks(steps, chunk),
                sequence_loss=cutting.loss == "sequence",
                words=steps_have_targets(network, objective),
            )
        seen, states, traces = known[key]
        cuts = (first - 1,) if part.final else (first - 1, last)
        others = sum(earlier.states + earlier.traces * (not space) for earlier in found)
        if not space:
            others += sum(gradients if chunk < steps else gradients[: index + 1]) - gradients[index]
        thrown = sum(tensor_bytes(module.parameters()) for module in part.thrown_away)
        one = PartBytes(
            segment=part.segment,
            chosen=tuple(part.chosen),
            saved=seen.saved_peak,
            live=seen.live_peak,
            stepping=gradients[index] + states + traces + taken.of_step(learning[index]),
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
        weights=round(weights * (1 + taken.state)),
        answers=answer_bytes(network, example, chunk),
    )


def answer_bytes(network: Network, example: Batch, chunk: int) -> int:
    """Answers of every step, which wait for the end of the sequence where they come in chunks."""
    if network.readout.config.kind != "every" or chunk >= example.length:
        return 0
    itemsize = next(network.readout.parameters()).element_size()
    return example.length * example.size * network.readout.outputs * itemsize


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


def optimizer_bytes(optimizer: OptimizerConfig) -> OptimizerBytes:
    """What an optimiser takes, found by steps of it on small weights."""
    alone, state = _stepped(optimizer, 1)
    both, _ = _stepped(optimizer, 2)
    return OptimizerBytes(state=state, step=alone, together=both > 1.5 * alone)


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
