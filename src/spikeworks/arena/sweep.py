"""Sweeps: many settings of one run, chosen by Optuna on validation alone.

A study is one journal file, so that processes on one machine, or on several that share a folder, work on it together;
started again it goes on where it stopped. Every trial is an ordinary run directory, resumable and shown like any
other. The study sees validation scores only: the test split of a trial is read once at its end, as of every run, and
never looked at by the sweep. Trials that fall behind the others are pruned: they keep what they learned, without a
result.
"""

from __future__ import annotations

import dataclasses
import math
import shlex
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from ..core.config import config_id, replace_leaves, to_dict
from ..core.errors import ConfigError, RunError, SpikeworksError, TrainingDiverged
from ..core.seeds import stream
from .config import RunConfig
from .progress import Progress
from .run import Run

_SHORT = {
    "epochs": "budget.epochs",
    "batch_size": "budget.batch_size",
    "learning_rate": "optimizer.learning_rate",
    "weight_decay": "optimizer.weight_decay",
    "hidden": "model.hidden",
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Range:
    """What one setting may be.

    Attributes:
        path: dotted, as on the command line: ``model.neuron.decay``.
        low, high: of numbers; whole numbers where ``whole``, log-uniform where ``log``.
        choices: instead of a range, the values themselves.
    """

    path: str
    low: float = 0.0
    high: float = 0.0
    whole: bool = False
    log: bool = False
    choices: tuple[Any, ...] = ()

    def __post_init__(self) -> None:
        if self.choices:
            return
        if not (math.isfinite(self.low) and math.isfinite(self.high) and self.low < self.high):
            raise ConfigError(f"The range of {self.path} must rise from one number to another, got {self}.")
        if self.log and self.low <= 0:
            raise ConfigError(f"A log range begins above 0, got {self}.")

    def __str__(self) -> str:
        if self.choices:
            return f"{self.path}={','.join(map(str, self.choices))}"
        return f"{self.path}={self.low:g}..{self.high:g}{':log' if self.log else ''}"

    @classmethod
    def read(cls, text: str) -> Range:
        """From ``learning_rate=1e-4..1e-1:log``, ``budget.batch_size=16..128`` or ``optimizer.clip=None,0.25,1``.

        Raises:
            ConfigError: it is none of these.

        Example:
            >>> Range.read("learning_rate=1e-4..1e-1:log")
            Range(path='optimizer.learning_rate', low=0.0001, high=0.1, whole=False, log=True, choices=())
        """
        name, equals, values = text.partition("=")
        path = name.strip().replace("-", "_")
        path = _SHORT.get(path, path)
        if not equals or not path or not values.strip():
            raise _unreadable(text)
        if ".." not in values:
            return cls(path=path, choices=tuple(_value(word) for word in values.split(",") if word.strip()))
        bounds, _, kind = values.partition(":")
        if kind not in ("", "log"):
            raise _unreadable(text)
        low, high = (_value(word) for word in bounds.split("..", 1))
        if not all(isinstance(end, int | float) and not isinstance(end, bool) for end in (low, high)):
            raise _unreadable(text)
        whole = isinstance(low, int) and isinstance(high, int)
        return cls(path=path, low=float(low), high=float(high), whole=whole, log=kind == "log")

    def draw(self, trial: Any) -> Any:
        """A value for a trial of Optuna."""
        if self.choices:
            names = [_name(choice) for choice in self.choices]  # a study keeps plain words
            return self.choices[names.index(trial.suggest_categorical(self.path, names))]
        if self.whole:
            return trial.suggest_int(self.path, int(self.low), int(self.high), log=self.log)
        return trial.suggest_float(self.path, self.low, self.high, log=self.log)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Best:
    """The best trial so far.

    Attributes:
        number: of the trial; ``validation``: its score.
        values: what was drawn, by path.
        config: the run; ``directory``: where it lies.
        trials: how many ended, by state.
    """

    number: int
    validation: float
    values: dict[str, Any]
    config: RunConfig
    directory: Path
    trials: dict[str, int]

    def command(self, root: str | Path) -> str:
        """The words that train this run anew; what was done is read."""
        words = ["spikeworks", "run", "--task", self.config.task_name, "--neuron", self.config.model_name]
        return shlex.join([*words, "--out", str(root), *_words(self.values)])


def sweep(
    config: RunConfig,
    ranges: Sequence[Range],
    study: str | Path,
    trials: int,
    *,
    root: str | Path = "runs",
    data_root: str | Path | None = None,
    progress: Progress | None = None,
    checkpoint_seconds: float = 60.0,
    prune: bool = True,
    heard: Callable[[str], None] = lambda text: None,
) -> Best:
    """Try settings of a run until the study has ``trials`` finished, pruned or failed trials, and return the best.

    Args:
        config: the run, with its seed, whose settings are varied.
        ranges: what is varied.
        study: journal file, made where there is none; the name of the study in it is the run's identity.
        trials: of all processes together, those of earlier calls counted.
        root: folder of all runs.
        data_root: folder of the real data.
        prune: whether trials worse than the median of the others at the same epoch are stopped.
        heard: hears of each trial.

    Raises:
        ConfigError: Optuna is missing, nothing is varied, or the study was begun with other settings or ranges.
        RunError: no trial has a score, or the file is no journal.
        Interrupted: Ctrl-C; the same call goes on with the trial that was cut.
    """
    optuna = _optuna()
    if not ranges or trials < 1:
        raise ConfigError(f"A sweep needs settings to vary and at least one trial, got {len(ranges)} and {trials}.")
    if len({one.path for one in ranges}) < len(ranges):
        raise ConfigError(f"A setting is varied twice: {', '.join(one.path for one in ranges)}.")
    for one in ranges:  # a wrong name or value shows before anything is written
        for value in one.choices or (one.low, one.high):
            replace_leaves(config, {one.path: int(value) if one.whole else value})
    higher = config.task.build(data_root).metric.higher_is_better
    opened = _open(optuna, Path(study), config, ranges, higher, prune)
    told = _Told(optuna, opened, config, list(ranges), root, data_root, progress or Progress(), checkpoint_seconds, heard)
    for trial in _cut(optuna, opened):
        told.carry_out(trial)
    while _ended(optuna, opened) < trials:
        told.carry_out(opened.ask())
    return _best(optuna, opened, config, ranges, root)
