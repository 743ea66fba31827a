"""What an update by a method is going to hold in memory, known from shapes alone.

The pieces that a learner runs at once run forward and backward on fake tensors, which have shapes and no
memory, under the meter that measures real updates; what waits beside them is added. Which pieces these
are (sheet 08, section 7.2):

===========================================  ==========================  ================================
learner                                      kept for backward           carried from step to step
===========================================  ==========================  ================================
``BPTT`` (bptt, sdbp, notd)                  all blocks, all steps       states
``Adversarial``                              all blocks, all steps, the  states
                                             critics
``Decoupled`` (tbptt, local, auglocal,       the dearest part, a chunk   states, spikes at the cuts
stdl)                                        of steps
``Online`` (sltt, ottt, eprop, ostl,         all blocks, a chunk of      states, traces
online)                                      steps
===========================================  ==========================  ================================
"""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from ..core.batch import Batch
from ..core.credit import set_credit
from ..core.state import State, detach
from ..optim import SGDConfig
from . import budget
from .adversarial import Adversarial
from .base import MethodConfig, Objective, Plan
from .bptt import BPTT
from .decoupled import Decoupled
from .online import Online
from .rehearsal import (
    UnforeseeableError,
    batch_for,
    batch_of,
    loss_of_steps,
    rehearse,
    steps_have_targets,
    two_chunks,
)
from .stepwise import step_outputs
from .traced import AT_ONCE


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
        ``None`` for learners of another kind than those of the table above, and for losses such as CTC that take
        memory by the numbers they meet.

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
    try:
        return _of_learner(learner, twin, objective, example)
    except UnforeseeableError:
        return None


def _of_learner(learner: Any, network: nn.Module, objective: Objective, example: Batch) -> Forecast | None:
    kind = type(learner)  # what is derived from them may do anything
    if kind is Online:
        return _online(learner, example)
    if kind is Decoupled:
        return _decoupled(learner, example)
    if kind is Adversarial:
        return _adversarial(learner, example)
    if kind is BPTT:

        def run(x: Tensor) -> None:
            output, state = network(x)
            objective.loss(output, batch_for(objective, x)).backward()
            del state  # lives as long as the output

        seen = rehearse(run, network, example.x)
        return Forecast(saved=seen.saved_peak, live=seen.live_peak)
    return None


def blank(network: nn.Module, shape: Sequence[int]) -> Batch:
    """A batch of a shape that takes no memory, with zeros for inputs and targets."""
    tokens = getattr(network, "embedding", None) is not None
    dtype = torch.int64 if tokens else next(network.parameters()).dtype
    return batch_of(torch.zeros((), dtype=dtype).expand(*shape))


def _decoupled(learner: Decoupled, example: Batch) -> Forecast:
    network: Any = learner.network
    plan = budget.measured(network, learner.parts, learner.cutting, learner.objective, example)
    return Forecast(
        saved=plan.saved, live=plan.live, waiting=max(part.waiting for part in plan.parts), traces=plan.traces
    )


def _adversarial(learner: Adversarial, example: Batch) -> Forecast:
    """The network with critics behind it, then the critics alone, as once they are heeded."""
    objective: Any = learner.objective
    learner.step = learner.config.warmup

    def run(x: Tensor) -> None:
        output, state = learner.network(x)
        hearing = learner.hear(output, batch_for(objective, x))
        learner.network_loss(hearing).backward()
        del state
        learner.critics_loss(hearing, hearing.clean.new_ones(len(learner.critics), example.size)).backward()

    seen = rehearse(run, nn.ModuleList([learner.network, learner.beside]), example.x)
    return Forecast(saved=seen.saved_peak, live=seen.live_peak)


def _online(learner: Online, example: Batch) -> Forecast:
    """All blocks and traces, a chunk of steps; the second chunk finds the traces of the first."""
    network: Any = learner.network
    config = learner.config
    chunk = config.size(example.length)
    set_credit(network, AT_ONCE)
    traces = 0

    def run(x: Tensor) -> None:
        nonlocal traces
        learner.layers.begin()
        states: list[State] = [None] * len(network.blocks)
        for length in two_chunks(example.length, chunk):
            _run_chunk(learner, x[:, :length] if example.tokens else x[:length], states)
        traces = learner.layers.held_bytes()

    given = example.span(slice(0, chunk))
    seen = rehearse(run, network, given)
    answers = budget.answer_bytes(network, example, chunk)
    return Forecast(saved=seen.saved_peak, live=seen.live_peak + answers, traces=traces)


def _run_chunk(learner: Online, x: Tensor, states: list[State]) -> None:
    network: Any = learner.network
    random = learner.config.feedback == "random"
    with learner.layers.watch(Tensor.detach if random else None) as calls:
        y = x if network.embedding is None else network.embedding(x)
        for i, block in enumerate(network.blocks):
            y, after = getattr(block, "run", block)(y, states[i], None)
            states[i] = detach(after)
    outputs, _ = step_outputs(network.readout, network.output_dropout(y))
    loss_of_steps(learner.objective, outputs, words=steps_have_targets(network, learner.objective)).backward()
    signals = [torch.zeros_like(call.y) if random else call.y.grad for call in calls]
    if random:
        torch.autograd.backward([call.y for call in calls], signals)
    learner.layers.learn(calls, signals)
