"""Learning forward in time: SLTT, OTTT, OSTL and e-prop on one engine, with memory that does not grow with length.

Every step's loss is read at once, sent down through the layers of the same step (or through fixed
random weights), and multiplied with traces of the past that run forward in time. The traces follow
from the neuron's step (see :mod:`~spikeworks.learning.jacobian`), so any neuron has them. What is
dropped of the full gradient: how a spike shapes later steps through the memory of the layers above,
and through recurrent weights. For the last layer nothing is missing.
"""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
from collections.abc import Iterator
from typing import Any, Literal

import torch
from torch import Tensor, nn

from ..core.batch import Batch
from ..core.config import config_kind
from ..core.credit import Credited, set_credit
from ..core.errors import ConfigError
from ..core.seeds import stream
from ..core.state import State, detach
from ..models import Network
from ..models.network import NetworkState
from .base import METHODS, MethodConfig, Objective, Observer, Plan
from .decoupled import CHUNKS
from .descent import Descent
from .exchange import exchange_gradients
from .jacobian import Spikes, filter_form
from .stepwise import Answers, check_step_loss, counted, step_loss, step_outputs
from .traced import AT_ONCE, TracedLayers
from .traces_cell import Traces, check_traces
from .traces_watch import LayerCall


@METHODS.register("online")
@config_kind("method", "online")
@dataclasses.dataclass(frozen=True, kw_only=True)
class OnlineConfig(MethodConfig):
    """Learning forward in time, all choices open.

    Args:
        traces: ``filter``: one trace for each input of a layer, which needs neurons whose memory is the
            same linear filter for all; ``exact``: one for each weight, for any neuron behind dense
            synapses; ``auto``: the first where it is possible, else the second, and behind convolutions and
            normalised synapses the first with spikes cut; ``none``: SLTT.
        spikes: ``neuron``: traces go through the reset as the neuron differentiates it; ``cut``: the
            memory takes spikes for constants, as with a detached reset.
        feedback: the learning signal of a layer: ``symmetric``, through the layers above at the same
            step; ``random``, from the output's error through fixed random weights.
        through_next: count in the memory of the next layer, too: exact for the last two layers where
            the last one's memory is a filter (OTPE; variant C of TC-LIF's online rule). Needs exact traces.
        update: one step of the optimiser after each ``sequence``, or at every ``step``.
        chunk: steps that are run at once; gradients do not depend on it, memory grows with it; ``None``: a
            sixteenth of the sequence. With ``update="step"`` it is 1.
        steps: learn at this many steps of each sequence, drawn at random for every batch; ``None``: at all.

    Raises:
        ConfigError: choices that do not go together.
    """

    traces: Traces = "auto"
    spikes: Spikes = "neuron"
    feedback: Literal["symmetric", "random"] = "symmetric"
    through_next: bool = False
    update: Literal["sequence", "step"] = "sequence"
    chunk: int | None = None
    steps: int | None = None

    def __post_init__(self) -> None:
        check_traces(self.traces, self.spikes)
        for name, value, known in (
            ("feedback", self.feedback, ("symmetric", "random")),
            ("update", self.update, ("sequence", "step")),
        ):
            if value not in known:
                raise ConfigError(f"{name} is one of {', '.join(known)}; got {value!r}.")
        for name, number in (("chunk", self.chunk), ("steps", self.steps)):
            if number is not None and number < 1:
                raise ConfigError(f"{name} must be at least 1 step, or None, got {number}.")
        if self.through_next and (self.traces in ("none", "filter") or self.feedback == "random"):
            raise ConfigError(
                "through_next counts in the next layer's memory, which needs a trace for each weight and symmetric "
                f"feedback; got traces {self.traces} and feedback {self.feedback}.",
                "set traces exact and feedback symmetric",
            )

    def size(self, steps: int) -> int:
        """Steps that are run at once in a sequence of ``steps``."""
        if self.update == "step":
            return 1
        return max(1, min(steps, self.chunk or round(steps / CHUNKS)))

    def build(self, network: nn.Module, objective: Objective, plan: Plan) -> Online:
        """A learner for ``network``, on the device where its parameters lie.

        Raises:
            ConfigError: the objective has no loss of single steps, or as for :class:`Online`.
        """
        check_step_loss(objective, self.name, "use the method bptt, or auglocal")
        return Online(network, objective, plan, self)


@METHODS.register("sltt")
@config_kind("method", "sltt")
@dataclasses.dataclass(frozen=True, kw_only=True)
class SLTTConfig(OnlineConfig):
    """Spatial learning through time: no traces; with ``steps`` K of T steps (SLTT-K). arXiv 2302.14311."""

    traces: Traces = "none"


@METHODS.register("ottt")
@config_kind("method", "ottt")
@dataclasses.dataclass(frozen=True, kw_only=True)
class OTTTConfig(OnlineConfig):
    """Online training through time: one trace an input, spikes cut. arXiv 2210.04195.

    ``update="sequence"`` is its form A, ``"step"`` its form O. The trace decays with the memory of the
    neurons behind the synapse; on TC-LIF this is variant B of its online rule.
    """

    traces: Traces = "filter"
    spikes: Spikes = "cut"


@METHODS.register("eprop")
@config_kind("method", "eprop")
@dataclasses.dataclass(frozen=True, kw_only=True)
class EPropConfig(OnlineConfig):
    """e-prop: exact eligibility traces, credit through recurrent weights cut. Nature Communications 11, 3625."""


@METHODS.register("ostl")
@config_kind("method", "ostl")
@dataclasses.dataclass(frozen=True, kw_only=True)
class OSTLConfig(OnlineConfig):
    """Online spatio-temporal learning: one trace a weight, the reset as the neuron has it. arXiv 2007.12723.

    Without that paper's extra term for recurrent weights. On TC-LIF variant A of its online rule.
    """

    traces: Traces = "exact"


class Online(Descent):
    """See :class:`OnlineConfig`.

    ``count`` of an update is the number of steps that have a loss, ``loss`` their mean; where is learned at K of T
    steps, it is estimated from those as T / K of their share.

    Attributes:
        layers: the layers of neurons with their traces.
        random_feedback: by layer, ``[K, neurons]``; drawn from the plan's seed at first use.

    Raises:
        ConfigError: the network has no blocks, or a part of it cannot learn so; says why and what can.
    """

    def __init__(self, network: nn.Module, objective: Objective, plan: Plan, config: OnlineConfig) -> None:
        super().__init__(network, objective, plan)
        if not isinstance(network, Network) or not network.blocks:
            raise ConfigError(
                f"Online learning walks through the blocks of a network, and {type(network).__name__} has none.",
                "build it as spikeworks.models.Network of blocks, or use the method bptt",
            )
        self.config = config
        dtype = self.parameters[0].dtype
        example = plan.example
        self.layers = TracedLayers(
            network.blocks,
            "exact" if config.through_next else config.traces,
            config.spikes,
            dtype,
            chunked=example is None or config.size(example.length) < example.length,
        )
        if config.through_next:
            self._look_up(network, dtype)
        self.random_feedback: dict[str, Tensor] = {}
        if example is not None and example.size:
            first = example.rows(slice(0, 1)).span(slice(0, 1)).contiguous()
            self.layers.check(lambda: network(first))
        self.notes = self.layers.notes()

    def _look_up(self, network: Network, dtype: torch.dtype) -> None:
        """Tell each layer the memory of the next one."""
        cells = list(self.layers.cells.values())
        for cell, above in itertools.pairwise(cells):
            form = filter_form(above.neuron, self.config.spikes, dtype)
            if isinstance(form, str):
                raise ConfigError(
                    f"through_next needs a filter as the memory of layer '{above.name}': {form}.",
                    "let spikes be cut, or leave through_next out",
                )
            cell.above, cell.above_neuron = form, above.neuron
        kind = network.readout.config.kind
        if kind in ("sum", "leaky"):
            cells[-1].above = network.readout.config.decay if kind == "leaky" else 1.0

    # -- one batch ---------------------------------------------------------------------------------

    def at_once(self, steps: int) -> int:
        """A chunk."""
        return self.config.size(steps)

    def learn(self, batch: Batch, observe: Observer | None) -> tuple[float, int, float]:
        """All chunks of a batch; one step of the optimiser at its end, or one a chunk."""
        config = self.config
        steps = batch.length
        size = config.size(steps)
        course = _Course(self, batch, steps)
        loss, total, norms = 0.0, 0, []
        with self._cut_credit():
            for start in range(0, steps, size):
                part = course.run(slice(start, min(start + size, steps))) if batch.size else 0.0
                if config.update == "step":
                    part, total = exchange_gradients(self.parameters, part, course.total)
                    norms.append(self.apply(part))
                    self.optimizer.zero_grad(set_to_none=True)
                loss += part
        if config.update == "sequence":
            loss, total = exchange_gradients(self.parameters, loss, course.total)
            norms.append(self.apply(loss))
        if batch.size:
            self.carry(course.state)
            if observe is not None:
                observe(course.answers.whole(), batch)
        loss *= max(1.0, steps / (config.steps or steps))
        return loss, total, sum(norms) / len(norms)

    @contextlib.contextmanager
    def _cut_credit(self) -> Iterator[None]:
        """Every state, and every spike that a recurrent layer hears, is a constant for autograd."""
        members = [m for m in self.network.modules() if isinstance(m, Credited)]
        before = [m.credit for m in members]
        set_credit(self.network, AT_ONCE)
        try:
            yield
        finally:
            for module, credit in zip(members, before, strict=True):
                module.credit = credit

    def chosen(self, steps: int) -> Tensor:
        """The steps of this update at which is learned, bool ``[T]``; the same on all processes."""
        if self.config.steps is None or self.config.steps >= steps:
            return torch.ones(steps, dtype=torch.bool, device=self.device)
        order = torch.randperm(steps, generator=stream(self.plan.seed, "steps", self.step))
        return (order.argsort() < self.config.steps).to(self.device)

    def feedback_to(self, call: LayerCall, outputs: int) -> Tensor:
        """Fixed random weights from the outputs to a layer's neurons, ``[K, neurons]``."""
        if call.name not in self.random_feedback:
            count = call.y[0, 0].numel()
            source = stream(self.plan.seed, "feedback", call.name)
            drawn = torch.empty(outputs, count).uniform_(-(count**-0.5), count**-0.5, generator=source)
            self.random_feedback[call.name] = drawn.to(call.y)
        return self.random_feedback[call.name]


class _Course:
    """One batch on its way through time."""

    def __init__(self, learner: Online, batch: Batch, steps: int) -> None:
        self.learner, self.batch, self.steps = learner, batch, steps
        self.network: Any = learner.network
        self.counts = counted(self.network.readout, batch, steps)
        self.total = int(self.counts.sum())
        self.counts = self.counts & learner.chosen(steps).unsqueeze(1)
        state = learner.state_for(batch)
        self.blocks: list[State] = [None] * len(self.network.blocks) if state is None else list(state.blocks)
        self.answers = Answers(self.network.readout, None if state is None else state.readout)
        self._sum = _running(self.answers.state)
        learner.layers.begin()

    @property
    def state(self) -> NetworkState:
        """The network's state after the steps that were run."""
        return NetworkState(tuple(self.blocks), self.answers.state)

    def run(self, steps: slice) -> float:
        """Forward, loss, backward and traces of some steps; returns their share of the loss."""
        learner, network, batch = self.learner, self.network, self.batch
        if steps.start:
            learner.reseed(network)  # one mask of dropout for the whole sequence
        mask = None if batch.mask is None else batch.mask[steps]
        x = batch.span(steps)
        active = bool(self.counts[steps].any())
        random = learner.config.feedback == "random"
        with learner.layers.watch(Tensor.detach if random else None) as calls, torch.set_grad_enabled(active):
            x = x if network.embedding is None else network.embedding(x)
            # a frame repeated as a view would be convolved once, and its gradient lose its time
            x = x.contiguous()
            for i, block in enumerate(network.blocks):
                x, after = getattr(block, "run", block)(x, self.blocks[i], mask)
                self.blocks[i] = detach(after)
        with torch.set_grad_enabled(active):
            x = network.output_dropout(x)
            outputs, self._sum = step_outputs(network.readout, x, self._sum)
            loss = step_loss(learner.objective, outputs, batch, self.counts, steps.start, self.total)
        self.answers.add(x, mask)
        signals = self._backward(loss, outputs, calls) if active else [None] * len(calls)
        learner.layers.learn(calls, signals)
        return loss.item()

    def _backward(self, loss: Tensor, outputs: Tensor, calls: list[LayerCall]) -> list[Tensor | None]:
        """Gradients of every step by itself; returns the learning signals."""
        if self.learner.config.feedback == "symmetric":
            loss.backward()
            return [call.y.grad for call in calls]
        outputs.retain_grad()
        loss.backward()
        assert outputs.grad is not None
        error = outputs.grad * self.network.readout.config.scale
        signals: list[Tensor | None] = []
        for call in calls:
            weights = self.learner.feedback_to(call, error.shape[-1])
            signals.append((error @ weights.to(error.dtype)).reshape(call.y.shape))
        learning = [(c.y, s) for c, s in zip(calls, signals, strict=True) if c.y.requires_grad]
        torch.autograd.backward([y for y, _ in learning], [s for _, s in learning])
        return signals


def _running(state: State) -> Tensor | None:
    """The sums that :func:`~spikeworks.learning.stepwise.step_outputs` goes on with."""
    return None if state is None else torch.cat([state.total, state.weight.unsqueeze(1)], 1)
