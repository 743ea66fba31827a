"""Learning that is cut in space and time: parts with losses of their own, credit within windows of steps.

One learner for SLTT and truncated BPTT (one part), local heads, AugLocal and STDL (several): what
differs is where the network is cut, what stands behind the cuts, and how far credit goes back.
Memory is that of one part and one chunk of steps, whatever the depth and the length.
"""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Iterable, Sequence
from typing import Any, Literal

from torch import Tensor, nn

from ..core.batch import Batch
from ..core.credit import Credit, set_credit
from ..core.errors import ConfigError
from ..core.state import State
from ..kernels.marks import mark
from ..kernels.packing import Packed, unpack
from .base import Objective, Observer, Plan
from .descent import Descent
from .exchange import exchange_gradients
from .jacobian import Spikes
from .parts import Part
from .stepwise import Answers, counted, step_loss, step_outputs
from .traces_cell import Traces, check_traces

CHUNKS = 16
"""In how many chunks a sequence is cut where nobody says: memory falls with it, and calls cost little yet."""

Order = Literal["space", "time"]
Loss = Literal["step", "sequence"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Cutting:
    """How far credit goes, and in which order the parts learn.

    Args:
        window: credit in time reaches back through at most this many steps, counted from the start
            of a sequence; ``None``: all steps.
        chunk: steps that are run and differentiated at once; ``None``: whole windows that make up a sixteenth
            of the sequence, or all of it where the loss or the window ask for it. Bounds
            the memory; gradients do not depend on it (with batch norm over time they do).
        loss: ``step``: of the readout at every step, see :mod:`~spikeworks.learning.stepwise`;
            ``sequence``: the task's own, of the readout's answer.
        order: ``space``: a part runs through time before the next one begins, which waits for its
            spikes, kept as bits. ``time``: all parts run a chunk, then the next chunk.
        traces, spikes: what the neurons keep of the past, as for
            :class:`~spikeworks.learning.online.OnlineConfig`: with traces every part learns forward in time, by
            OTTT (``filter``, spikes ``cut``) or e-prop (``auto``), in windows of one step.

    Raises:
        ConfigError: a chunk that does not hold whole windows, or that the loss cannot be cut into; traces with
            windows of more than a step, or with the loss of a whole sequence.
    """

    window: int | None = None
    chunk: int | None = None
    loss: Loss = "step"
    order: Order = "space"
    traces: Traces = "none"
    spikes: Spikes = "neuron"

    def __post_init__(self) -> None:
        check_traces(self.traces, self.spikes)
        if self.traces != "none" and (self.window != 1 or self.loss != "step"):
            raise ConfigError(
                "Traces carry credit forward from every step; they need windows of 1 step and the loss of every step, "
                f"got a window of {self.window or 'all'} and the loss of a {self.loss}.",
                "set window 1 and loss step, or traces none",
            )
        for name in ("window", "chunk"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ConfigError(f"{name} must be at least 1 step, or None, got {value}.")
        if self.chunk is not None and (self.window is None or self.chunk % self.window):
            raise ConfigError(
                f"A chunk of {self.chunk} steps does not hold whole windows of {self.window or 'all'} steps.",
                "make chunk a multiple of window, or None",
            )
        if self.chunk is not None and self.loss == "sequence":
            raise ConfigError(
                "The loss of a whole sequence is known at its end alone, so it cannot be cut into chunks.",
                "set loss step, or chunk None",
            )

    def begin(self, parts: Iterable[Part], example: Batch | None) -> None:
        """Give parts the credit and the traces that this asks for.

        Args:
            example: of the batches, where it is known.

        Raises:
            ConfigError: a part cannot have them.
        """
        for part in parts:
            part.layers = None
            set_credit(part, Credit(window=self.window))
            if self.traces != "none":
                chunked = example is None or self.size(example.length) < example.length
                part.trace(self.traces, self.spikes, chunked=chunked)

    def size(self, steps: int) -> int:
        """Steps of a chunk in a sequence of ``steps``."""
        if self.chunk is not None:
            return min(self.chunk, max(steps, 1))
        if self.window is None or self.loss == "sequence":
            return max(steps, 1)
        return self.window * max(1, round(steps / CHUNKS / self.window))


class Decoupled(Descent):
    """Parts of a network, each with its own loss and optimiser; no gradient crosses a cut.

    Args:
        network: as for every learner.
        parts: the network's blocks in order; the last part ends with its readout.
        cutting: credit and order.
    """

    def __init__(self, network: Any, objective: Objective, plan: Plan, parts: Sequence[Part], cutting: Cutting) -> None:
        super().__init__(network, objective, plan, shares=parts)
        self.parts, self.cutting = list(parts), cutting
        self.beside = nn.ModuleList(module for part in parts for module in part.thrown_away)
        cutting.begin(parts, plan.example)
        if plan.example is not None and plan.example.size:
            self._check_traces(plan.example.rows(slice(0, 1)).span(slice(0, 1)).contiguous())
        self.notes = [line for part in parts if part.layers is not None for line in part.layers.notes()]

    def _check_traces(self, x: Tensor) -> None:
        """One step through all parts, so that what cannot be learnt is known before training begins."""
        for part in self.parts:
            if part.layers is None:
                return
            x, _, _ = part.layers.check(functools.partial(part.advance, x, None, None))

    def at_once(self, steps: int) -> int:
        """A chunk."""
        return self.cutting.size(steps)

    def learn(self, batch: Batch, observe: Observer | None) -> tuple[float, int, float]:
        """One pass; returns the last part's loss, the target count and the norm of all gradients."""
        states = self.state_for(batch) or (None,) * len(self.parts)
        courses = [_Course(self, part, batch, state) for part, state in zip(self.parts, states, strict=True)]
        chunks = self._chunks(batch)
        found: list[tuple[float, int, float]] = []
        if self.cutting.order == "space":
            waiting: list[Any] = [batch.span(chunk) for chunk in chunks] if batch.size else []
            for index, course in enumerate(courses):
                waiting = [course.run(x, chunk) for x, chunk in zip(waiting, chunks, strict=False)]
                found.append(self._finish(index, course))
        else:
            for chunk in chunks if batch.size else ():
                x: Any = batch.span(chunk)
                for course in courses:
                    x = course.run(x, chunk)
            found = [self._finish(index, course) for index, course in enumerate(courses)]
        self.carry(tuple(course.state for course in courses))
        if observe is not None and batch.size:
            observe(courses[-1].answers.whole(), batch)
        loss, count, _ = found[-1]
        return loss, count, math.hypot(*(norm for *_, norm in found))

    def template(self, first: Tensor) -> State:
        x, states = first, []
        for part in self.parts:
            x, _, state = part.advance(x, None, None)
            states.append(state)
        return tuple(states)

    def _chunks(self, batch: Batch) -> list[slice]:
        steps = batch.length
        size = self.cutting.size(steps)
        return [slice(start, min(start + size, steps)) for start in range(0, steps, size)]

    def _finish(self, index: int, course: _Course) -> tuple[float, int, float]:
        """Exchange, clip and step one part; its gradients are gone afterwards."""
        own = self.shares[index]
        loss, count = exchange_gradients(own.parameters, course.loss, course.weight)
        norm = self.apply(loss, index)
        own.optimizer.zero_grad(set_to_none=True)
        if course.part.layers is not None:
            course.part.layers.begin()  # other parts need the room
        return loss, count, norm


class _Course:
    """A part on its way through one batch."""

    def __init__(self, learner: Decoupled, part: Part, batch: Batch, state: State) -> None:
        self.learner, self.part, self.batch, self.state = learner, part, batch, state
        self.loss = 0.0
        self.answers = Answers(part.readout)
        self._sum: Tensor | None = None
        self._counts = counted(part.readout, batch, batch.length)
        self._total = int(self._counts.sum())
        if part.layers is not None:
            part.layers.begin()

    @property
    def weight(self) -> int:
        """Number of losses that the mean is over."""
        return self._total if self.learner.cutting.loss == "step" else self.batch.count

    def run(self, x: Tensor | Packed, chunk: slice) -> Tensor | Packed | None:
        """Forward, loss and backward of a chunk; returns what the next part gets, cut from the graph."""
        mask = None if self.batch.mask is None else self.batch.mask[chunk]
        if chunk.start:
            self.learner.reseed(self.part)  # one mask of dropout for the whole sequence
        passed, self.state, loss = self.part.differentiate(
            _unpacked(x), self.state, mask, lambda features: self._loss(features, mask, chunk)
        )
        self.loss += loss.item()
        return passed

    def _loss(self, features: Tensor, mask: Tensor | None, chunk: slice) -> Tensor:
        readout, objective = self.part.readout, self.learner.objective
        if self.learner.cutting.loss == "sequence":
            output, _ = readout(features, None, mask)
            self.answers.take(output)
            return objective.loss(output, self.batch)
        outputs, self._sum = step_outputs(readout, features, self._sum)
        if self.part.final:
            self.answers.add(features, mask)
        return step_loss(objective, outputs, self.batch, self._counts, chunk.start, self._total)


def _unpacked(x: Tensor | Packed) -> Tensor:
    if isinstance(x, Tensor):
        return x
    spikes = unpack(x)
    mark(spikes, x)
    return spikes
