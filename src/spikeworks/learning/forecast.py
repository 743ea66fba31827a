"""What an update by a method is going to hold in memory, known from shapes alone.

The pieces that a learner runs at once (a network, a part of one, a chunk of steps) run forward and
backward on fake tensors, which have shapes and no memory, under the meter that measures real updates;
what waits beside them is added. Which pieces these are is the table of sheet 08, section 7.2:

============================  ===============================================  =========================
learner                       kept for backward at most                        carried from step to step
============================  ===============================================  =========================
:class:`BPTT`                 all blocks, all steps                            states
:class:`Decoupled`            the dearest part, a chunk of steps               states, spikes at the cuts
:class:`Online`               all blocks, a chunk of steps                     states, traces
============================  ===============================================  =========================
"""

from __future__ import annotations

import contextlib
import copy
import dataclasses
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode

from ..core.batch import Batch
from ..core.state import leaves
from ..measure.live import LiveMemory, watch_memory
from ..optim import ConstantConfig, SGDConfig
from . import planner
from .base import MethodConfig, Objective, Plan
from .bptt import BPTT
from .decoupled import Decoupled
from .online import Online
from .parts import Part
from .stepwise import step_outputs
from .traces_watch import watched


@dataclasses.dataclass(frozen=True, kw_only=True)
class Forecast:
    """Bytes of one update, of the whole batch.

    Attributes:
        saved: the most that autograd keeps for backward at once.
        live: the most that is alive at once, without weights, optimiser and batch; gradients are counted.
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
        network: stays as it is, on any device.
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
        >>> round(saved("bptt", 1000) / saved("bptt", 100), 1)
        10.0
        >>> saved("tbptt", 1000) == saved("tbptt", 100)
        True
    """
    twin = copy.deepcopy(network)
    method.prepare(twin)
    example = _blank(twin, shape)
    plan = Plan(
        optimizer=SGDConfig(learning_rate=0.0),
        schedule=ConstantConfig(),
        steps_per_epoch=1,
        epochs=1,
        example=example,
    )
    learner = method.build(twin, objective, plan)
    if isinstance(learner, Online):
        return _online(learner, example)
    if isinstance(learner, Decoupled):
        return _decoupled(learner, example)
    if isinstance(learner, BPTT):
        seen = _watched(lambda x: objective.loss(twin(x)[0], _batch(x)), twin, _like(example))
        return Forecast(saved=seen.saved_peak, live=seen.live_peak)
    return None


def _decoupled(learner: Decoupled, example: Batch) -> Forecast:
    """The dearest part: what it runs at once, and what waits at its cuts meanwhile."""
    network, steps = learner.network, example.length
    chunk = min(learner.cutting.chunk or steps, steps)
    space = learner.cutting.order == "space"
    saved = live = most = 0
    for part in learner.parts:
        first, last = part.segment
        seen = _watched(_loss_of(learner, part), part, _like(example, chunk, network, first))
        waiting = [planner.waiting(network, i, steps, example.size) if space else 0 for i in (first - 1, last)]
        cuts = sum(waiting[: 1 if part.final else 2])
        saved, most = max(saved, seen.saved_peak), max(most, cuts)
        live = max(live, seen.live_peak + cuts)
    return Forecast(saved=saved, live=live, waiting=most)


def _loss_of(learner: Decoupled, part: Part) -> Callable[[Tensor], Tensor]:
    def loss(x: Tensor) -> Tensor:
        given = x.clone() if part.segment[0] else x  # unpacked from its bits
        _, features, _ = part.advance(given, None, None)
        if learner.cutting.loss == "sequence":
            return learner.objective.loss(part.readout(features, None, None)[0], _batch(x))
        return _step_loss(learner.objective, step_outputs(part.readout, features)[0], x)

    return loss


def _online(learner: Online, example: Batch) -> Forecast:
    """All blocks and traces, a chunk of steps; the second chunk finds the traces of the first."""
    network: Any = learner.network
    config = learner.config
    chunk = 1 if config.update == "step" else min(config.chunk or example.length, example.length)
    random = config.feedback == "random"
    set_credit(network, Credit(window=1, feedback=False))
    traces = 0

    def run(x: Tensor) -> None:
        nonlocal traces
        for cell in learner.cells.values():
            cell.begin()
        states: list[State] = [None] * len(network.blocks)
        for _ in range(min(2, -(-example.length // chunk))):
            with watched(network.blocks, Tensor.detach if random else None) as calls:
                y = x if network.embedding is None else network.embedding(x)
                for i, block in enumerate(network.blocks):
                    y, after = getattr(block, "run", block)(y, states[i], None)
                    states[i] = detach(after)
            outputs, _ = step_outputs(network.readout, network.output_dropout(y))
            _step_loss(learner.objective, outputs, x).backward()
            del y, outputs
            for call in calls:
                learner.cells[call.name].learn(call, torch.zeros_like(call.y) if random else call.y.grad)
        traces = sum(t.untyped_storage().nbytes() for cell in learner.cells.values() for t in cell.held())

    seen = _watched(run, network, _like(example, chunk))
    return Forecast(saved=seen.saved_peak, live=seen.live_peak, traces=traces)


def _watched(run: Callable[[Tensor], Any], module: nn.Module, given: Given) -> LiveMemory:
    """What ``run`` would hold on an input, with the weights of ``module`` and its own backward pass."""
    fake = FakeTensorMode(allow_non_fake_inputs=True)
    called = _Called(module, run)
    named = (*called.named_parameters(), *called.named_buffers())
    values = {name: fake.from_tensor(t) for name, t in named}
    module.train()
    with fake, torch.enable_grad():
        x = torch.empty(given.shape, dtype=given.dtype)
        with watch_memory([x, *values.values()]) as seen:
            torch.func.functional_call(called, values, (x,))
            del x
    return seen


class _Called(nn.Module):
    """A function as the forward pass of the module whose weights it uses."""

    def __init__(self, module: nn.Module, run: Callable[[Tensor], Any]) -> None:
        super().__init__()
        self.module, self.run = module, run

    def forward(self, x: Tensor) -> None:
        self.run(x)
