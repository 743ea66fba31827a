"""What an update by a method is going to hold in memory, known from shapes alone.

The pieces that a learner runs at once run forward and backward on fake tensors, which have shapes and no
memory, under the meter that measures real updates; what waits beside them is added. Which pieces these
are (sheet 08, section 7.2):

===========================================  ==========================  ================================
learner                                      kept for backward           carried from step to step
===========================================  ==========================  ================================
``BPTT`` (bptt, sdbp, notd)                  all blocks, all steps       states
``Decoupled`` (tbptt, local, auglocal,       the dearest part, a chunk   states, spikes at the cuts
stdl)                                        of steps
``Online`` (sltt, ottt, eprop, ostl,         all blocks, a chunk of      states, traces
online)                                      steps
===========================================  ==========================  ================================
"""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._pytree import tree_leaves

from ..core.batch import Batch
from ..core.credit import Credit, set_credit
from ..core.state import State, detach, state_bytes, tensor_bytes
from ..measure.live import LiveMemory, watch_memory
from ..optim import SGDConfig
from . import planner
from .base import MethodConfig, Objective, Plan
from .bptt import BPTT
from .decoupled import Decoupled
from .online import Online
from .parts import Part
from .stepwise import step_outputs
from .traces_cell import Cell
from .traces_watch import watched


@dataclasses.dataclass(frozen=True, kw_only=True)
class Forecast:
    """Bytes of one update, of the whole batch.

    Attributes:
        saved: the most that autograd keeps for backward at once.
        live: the most that is alive at once, without weights, optimiser and batch; gradients are counted, what the
            optimiser's step takes for a moment is not.
        waiting: spikes at the cuts between parts, for all steps.
        traces: of online rules, at the end of a step.
    """

    saved: int
    live: int
    waiting: int = 0
    traces: int = 0


def forecast(network: nn.Module, method: MethodConfig, objective: Objective, shape: Sequence[int]) -> Forecast | None:
    """The memory of one update on an input of a shape; neither learns nor takes memory.

    Args:
        network: stays as it is.
        method: how it would learn.
        objective: its loss counts.
        shape: ``(T, B, ...)``, or ``(B, T)`` for a network of tokens.

    Returns:
        ``None`` for learners of another kind than those of the table above.

    Raises:
        ConfigError: the method cannot learn this network.

    Example:
        >>> from torch.nn.functional import cross_entropy
        >>> from spikeworks.learning import METHODS
        >>> from spikeworks.models import StackConfig
        >>> class Entropy:
        ...     def loss(self, output, batch):
        ...         return cross_entropy(output, batch.target)
        >>> network = StackConfig(hidden=(16, 16)).build(4, 3, torch.Generator().manual_seed(0))
        >>> def saved(name, steps):
        ...     return forecast(network, METHODS.get(name)(), Entropy(), (steps, 8, 4)).saved
        >>> round(saved("bptt", 200) / saved("bptt", 100), 1)
        2.0
        >>> saved("tbptt", 200) == saved("tbptt", 100)
        True
    """
    twin = copy.deepcopy(network)
    method.prepare(twin)
    twin.train()
    example = blank(twin, shape)
    plan = Plan.of_one(example, SGDConfig(learning_rate=0.0))
    learner: Any = method.build(twin, objective, plan)
    learner.beside.train()
    kind = type(learner)  # what is derived from them may do anything
    if kind is Online:
        return _online(learner, example)
    if kind is Decoupled:
        return _decoupled(learner, example)
    if kind is BPTT:

        def run(x: Tensor) -> None:
            output, state = twin(x)
            objective.loss(output, _batch(x)).backward()
            del state  # lives as long as the output

        seen = _watched(run, twin, example.x)
        return Forecast(saved=seen.saved_peak, live=seen.live_peak)
    return None


def blank(network: nn.Module, shape: Sequence[int]) -> Batch:
    """A batch of a shape that takes no memory, with zeros for inputs and targets."""
    tokens = getattr(network, "embedding", None) is not None
    dtype = torch.int64 if tokens else next(network.parameters()).dtype
    return _batch(torch.zeros((), dtype=dtype).expand(*shape))


def _batch(x: Tensor) -> Batch:
    shape = x.shape if not x.is_floating_point() else x.shape[1:2]
    return Batch(x=x, target=x.new_zeros((), dtype=torch.int64).expand(shape))


def _decoupled(learner: Decoupled, example: Batch) -> Forecast:
    """The dearest part: what it runs at once, and what waits meanwhile: spikes at its cuts, or other gradients."""
    network: Any = learner.network
    steps, batch = example.length, example.size
    chunk = min(learner.cutting.size(steps), steps)
    space = learner.cutting.order == "space"
    gradients = [tensor_bytes(p for p in part.parameters() if p.requires_grad) for part in learner.parts]
    states: list[int] = []
    saved = live = waiting = 0
    for part, own in zip(learner.parts, gradients, strict=True):
        first, last = part.segment
        given = example.span(slice(0, chunk))
        if first:
            given = given.new_zeros(()).expand(chunk, batch, *network.blocks[first].shape_in)
        earlier = sum(states)
        seen = _watched(_part_update(learner, part, _two(steps, chunk), states), part, given)
        cuts = (first - 1,) if part.final else (first - 1, last)
        held = sum(planner.waiting(network, i, steps, batch) for i in cuts) if space else 0
        beside = held if space or chunk >= steps else sum(gradients) - own
        saved, live = max(saved, seen.saved_peak), max(live, seen.live_peak + beside + earlier)
        waiting = max(waiting, held)
    return Forecast(saved=saved, live=live + _answers(network, example, chunk), waiting=waiting)


def _answers(network: Any, example: Batch, chunk: int) -> int:
    """Answers of every step, which wait for the end of the sequence where they come in chunks."""
    if network.readout.config.kind != "every" or chunk >= example.length:
        return 0
    weight = network.readout.linear.weight
    return example.length * example.size * len(weight) * weight.element_size()


def _two(steps: int, chunk: int) -> list[int]:
    """Lengths of the first two chunks: the second one meets what the first has left."""
    return [length for length in (min(chunk, steps), min(chunk, steps - chunk)) if length > 0]


def _part_update(learner: Decoupled, part: Part, lengths: Sequence[int], states: list[int]) -> Callable[[Tensor], None]:
    """An update of a part, which adds the bytes of its last states to ``states``."""

    def run(x: Tensor) -> None:
        state: State = None
        for length in lengths:
            state = chunk(x[:, :length] if not x.is_floating_point() else x[:length], state)
        states.append(state_bytes(state))

    def chunk(x: Tensor, state: State) -> State:
        given = x.clone() if part.segment[0] else x  # unpacked from its bits
        leaving, features, after = part.advance(given, state, None)
        state = detach(after)
        if learner.cutting.loss == "sequence":
            loss = learner.objective.loss(part.readout(features, None, None)[0], _batch(x))
        else:
            loss = _step_loss(learner.network, learner.objective, step_outputs(part.readout, features)[0])
        del given, leaving, features, after
        loss.backward()
        return state

    return run


def _step_loss(network: Any, objective: Objective, outputs: Tensor) -> Tensor:
    """The loss of every step, for outputs ``[C, B, K]``."""
    if network.embedding is not None:
        return objective.loss(outputs, _batch(outputs.new_zeros(outputs.shape[1::-1], dtype=torch.int64)))
    rows = outputs.flatten(0, 1).clone()  # learners pick the steps that count
    return objective.loss(rows, Batch(x=rows, target=rows.new_zeros(len(rows), dtype=torch.int64)))


def _online(learner: Online, example: Batch) -> Forecast:
    """All blocks and traces, a chunk of steps; the second chunk finds the traces of the first."""
    network: Any = learner.network
    config = learner.config
    chunk = config.size(example.length)
    set_credit(network, Credit(window=1, feedback=False))
    traces = 0

    def run(x: Tensor) -> None:
        nonlocal traces
        for cell in learner.cells.values():
            cell.begin()
        states: list[State] = [None] * len(network.blocks)
        for length in _two(example.length, chunk):
            _run_chunk(learner, x[:, :length] if example.tokens else x[:length], states)
        traces = sum(t.untyped_storage().nbytes() for cell in learner.cells.values() for t in held(cell))

    given = example.span(slice(0, chunk))
    seen = _watched(run, network, given)
    return Forecast(saved=seen.saved_peak, live=seen.live_peak + _answers(network, example, chunk), traces=traces)


def _run_chunk(learner: Online, x: Tensor, states: list[State]) -> None:
    network: Any = learner.network
    random = learner.config.feedback == "random"
    with watched(network.blocks, Tensor.detach if random else None) as calls:
        y = x if network.embedding is None else network.embedding(x)
        for i, block in enumerate(network.blocks):
            y, after = getattr(block, "run", block)(y, states[i], None)
            states[i] = detach(after)
    outputs, _ = step_outputs(network.readout, network.output_dropout(y))
    _step_loss(network, learner.objective, outputs).backward()
    signals = [torch.zeros_like(call.y) if random else call.y.grad for call in calls]
    if random:
        torch.autograd.backward([call.y for call in calls], signals)
    for call, signal in zip(calls, signals, strict=True):
        learner.cells[call.name].learn(call, signal)


def held(cell: Cell) -> Iterator[Tensor]:
    """The traces that a cell carries to the next step, each once."""
    bundle = [] if cell._bundle is None else [trace.values for trace in cell._bundle.traces.values()]
    found = {id(t): t for t in tree_leaves([cell._filtered, cell._beyond, bundle]) if isinstance(t, Tensor)}
    yield from found.values()


def _watched(run: Callable[[Tensor], Any], module: nn.Module, like: Tensor) -> LiveMemory:
    """What ``run``, which uses the weights of ``module``, would hold on an input like one that takes no memory."""
    fake = FakeTensorMode(allow_non_fake_inputs=True)
    called = _Called(module, run)
    values: dict[str, Tensor] = {
        name: fake.from_tensor(t) for name, t in (*called.named_parameters(), *called.named_buffers())
    }
    with fake, torch.enable_grad():
        x = torch.empty(like.shape, dtype=like.dtype)
        with watch_memory([x, *values.values()]) as seen:
            torch.func.functional_call(called, values, (x,))
    return seen


class _Called(nn.Module):
    """A function as the forward pass of a module, whose weights it uses."""

    def __init__(self, module: nn.Module, run: Callable[[Tensor], Any]) -> None:
        super().__init__()
        self.module, self.run = module, run

    def forward(self, x: Tensor) -> None:
        self.run(x)
