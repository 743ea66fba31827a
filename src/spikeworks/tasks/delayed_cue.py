"""``delayed-cue``: which of two cues was shown, asked long after it.

Eight channels of zeros and ones: cue 0, cue 1, five distractors, the query. After 5 silent steps
one of the cues is on for 5 steps; then ``lag`` steps follow in which only the distractors fire, at
random; then the query is on for 5 steps. Two classes, each exactly half of a split.

The answer is read at the last step, so that it must be carried over the lag: of the cue, a leaky
neuron with a decay of 0.9 keeps ``0.9 ** lag``, less than a float32 resolves from a lag of 160 on.
The distractors are five because a neuron that fires at regular intervals would keep the cue in
its phase: one of few inputs can have a weight near zero, five of them have not.
A probe of memory alone, of the kind used for gated recurrent networks (Hochreiter and
Schmidhuber, 1997) and for adaptive spiking neurons (arXiv 1803.09574, store and recall).

Splits: each is drawn from a generator of its own, derived from ``seed`` and the split's name; a
sequence that an earlier split holds (test, then validation) is drawn again. Sequences of a
class differ in the distractor alone.

Legend: ``N`` sequences, ``T`` time steps, ``B`` batch.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import ClassVar

import torch
from torch import Tensor

from ..core.config import config_kind
from ..core.errors import ConfigError
from .base import ACCURACY, TASKS, Signature, TaskDefaults, TaskInfo
from .generate import GeneratedConfig, GeneratedTask, draw_apart

_NAME = "delayed-cue"
SILENT, CUE, QUERY = 5, 5, 5
"""Steps before the cue, of the cue, and of the query."""
DISTRACTORS = 5
CHANNELS = 2 + DISTRACTORS + 1  # one bit of a byte each


@TASKS.register(_NAME)
@config_kind("task", _NAME)
@dataclasses.dataclass(frozen=True, kw_only=True)
class DelayedCueConfig(GeneratedConfig):
    """Options of ``delayed-cue``.

    Attributes:
        lag: steps between the end of the cue and the query. Sizes are even.
        distraction: probability that a distractor fires at a step of the lag, above 0 and below 1.
    """

    info: ClassVar[TaskInfo] = TaskInfo(
        summary="which of two cues was on, asked after a long lag (generated)",
        shape="T=515 C=8, 2 classes",
        sizes=(2_000, 500, 500),
        metric=ACCURACY,
    )

    lag: int = 500
    distraction: float = 0.2
    train_size: int = 2_000
    validation_size: int = 500
    test_size: int = 500

    def __post_init__(self) -> None:
        if self.lag < 1:
            raise ConfigError(f"{_NAME}: expected a lag of at least 1 step, got {self.lag}.")
        if not 0 < self.distraction < 1:
            raise ConfigError(f"{_NAME}: expected a distraction in (0, 1), got {self.distraction}.")
        self._check_sizes(multiple=2)

    @property
    def steps(self) -> int:
        """Length T of every sequence."""
        return SILENT + CUE + self.lag + QUERY

    def build(self, root: str | Path | None = None) -> DelayedCue:
        """The task; its data is generated, so ``root`` is not used."""
        return DelayedCue(self)

    def defaults(self) -> TaskDefaults:
        return TaskDefaults(hidden=(64, 64), epochs=10, batch_size=50, learning_rate=5e-3, readout="last")


class DelayedCue(GeneratedTask):
    """The built task."""

    default_readout = "last"

    def __init__(self, config: DelayedCueConfig) -> None:
        super().__init__(config, Signature(steps=config.steps, inputs=CHANNELS, outputs=2, classes=("cue 0", "cue 1")))
        self._options = config

    def _draw(self, count: int, generator: torch.Generator, taken: set[bytes]) -> Tensor:
        lag, rate = self._options.lag, self._options.distraction
        drawn = [
            draw_apart(lambda n, k=k: draw_cues(n, k, lag, rate, generator), count // 2, taken, _NAME) for k in (0, 1)
        ]
        return torch.cat(drawn)[torch.randperm(count, generator=generator)]

    def _labels(self, stored: Tensor) -> Tensor:
        return cue_labels(stored)

    def _expand(self, stored: Tensor) -> Tensor:
        return expand_channels(stored)


def draw_cues(count: int, cue: int, lag: int, distraction: float, generator: torch.Generator) -> Tensor:
    """Sequences with one cue; returns ``[count, T]`` uint8, bit c set where channel c fires."""
    stored = torch.zeros(count, SILENT + CUE + lag + QUERY, dtype=torch.uint8)
    stored[:, SILENT : SILENT + CUE] = 1 << cue
    fired = torch.rand(count, lag, DISTRACTORS, generator=generator) < distraction
    places = torch.arange(2, 2 + DISTRACTORS, dtype=torch.uint8)
    stored[:, SILENT + CUE : -QUERY] = (fired << places).sum(2, dtype=torch.uint8)
    stored[:, -QUERY:] = 1 << (CHANNELS - 1)
    return stored


def expand_channels(stored_BT: Tensor) -> Tensor:
    """Floats ``[T, B, 8]`` of stored sequences ``[B, T]``."""
    bits = torch.arange(CHANNELS, dtype=torch.uint8, device=stored_BT.device)
    return ((stored_BT.t().unsqueeze(2) >> bits) & 1).float()


def cue_labels(stored_NT: Tensor) -> Tensor:
    """Which cue stored sequences ``[N, T]`` hold; int64 ``[N]``."""
    return (stored_NT & 0b10).any(1).long()
