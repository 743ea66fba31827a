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
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from ..core.config import config_id, replace_leaves, to_dict
from ..core.errors import ConfigError, RunError, SpikeworksError, TrainingDiverged
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
        if self.choices:  # a study keeps plain words
            return self.restored(trial.suggest_categorical(self.path, [_shown(choice) for choice in self.choices]))
        if self.whole:
            return trial.suggest_int(self.path, int(self.low), int(self.high), log=self.log)
        return trial.suggest_float(self.path, self.low, self.high, log=self.log)

    def restored(self, kept: Any) -> Any:
        """The value that a study keeps as ``kept``."""
        named = {_shown(choice): choice for choice in self.choices}
        return named[kept] if self.choices else kept


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


@dataclasses.dataclass(frozen=True, kw_only=True)
class Sweep:
    """Settings of one run that are varied.

    Attributes:
        config: the run, with its seed; ``ranges``: what is varied.
        root: folder of all runs; ``data_root``: of the real data.
        prune: whether trials worse than the median of the others at the same epoch are stopped.
        sampler_seed: of what is drawn; ``None`` lets processes that share a study draw different trials.

    Raises:
        ConfigError: nothing is varied, a setting twice, or a setting cannot take a value of its range.
        UnknownName: no such setting.
    """

    config: RunConfig
    ranges: tuple[Range, ...]
    root: str | Path = "runs"
    data_root: str | Path | None = None
    prune: bool = True
    sampler_seed: int | None = None

    def __post_init__(self) -> None:
        paths = [one.path for one in self.ranges]
        if not paths or len(set(paths)) < len(paths):
            raise ConfigError(f"A sweep varies at least one setting, and each once; got {', '.join(paths) or 'none'}.")
        for one in self.ranges:
            for value in one.choices or ((int(one.low), int(one.high)) if one.whole else (one.low, one.high)):
                self.described({one.path: value})

    @property
    def name(self) -> str:
        """Of the study in its file: equal for equal runs and ranges, so that a file can hold several."""
        identity = config_id({"run": to_dict(self.config), "ranges": sorted(map(str, self.ranges))})
        return f"{self.config.task_name} {self.config.shown} {identity}"

    def described(self, values: Mapping[str, Any]) -> RunConfig:
        """The run with some values; a single number stands for a list of one."""
        fitted = {
            path: [value] if isinstance(_value_at(self.config, path), tuple) and not isinstance(value, list) else value
            for path, value in values.items()
        }
        return replace_leaves(self.config, fitted)


def sweep(
    plan: Sweep,
    study: str | Path,
    trials: int,
    *,
    progress: Progress | None = None,
    checkpoint_seconds: float = 60.0,
    heard: Callable[[str], None] = lambda text: None,
) -> Best:
    """Try settings until a study has so many trials, and return the best by validation.

    Args:
        plan: what is varied.
        study: journal file, made where there is none.
        trials: of all processes and earlier calls together; pruned and failed ones count.
        progress: hears what happens in each run.
        heard: hears how each trial ended.

    Raises:
        ConfigError: Optuna is not installed; RunError: no trial has a score, or the file is no journal.
        DataError: the task's data is missing.
        Interrupted: Ctrl-C; the same call goes on with the trial that was cut.
    """
    if trials < 1:
        raise ConfigError(f"A sweep needs at least one trial, got {trials}.")
    optuna = _optuna()
    opened = _open(optuna, plan, Path(study))
    watched = _Watched(progress or Progress())
    states = optuna.trial.TrialState
    for cut in opened.get_trials(deepcopy=False, states=(states.RUNNING,)):
        if cut.params.keys() == {one.path for one in plan.ranges}:
            _carry_out(optuna, plan, opened, optuna.Trial(opened, cut._trial_id), watched, checkpoint_seconds, heard)
    while len(opened.get_trials(deepcopy=False)) < trials:
        _carry_out(optuna, plan, opened, opened.ask(), watched, checkpoint_seconds, heard)
    return best_of(plan, opened)


def best_of(plan: Sweep, study: Any) -> Best:
    """The finished trial with the best validation score.

    Raises:
        RunError: there is none.
    """
    counts: dict[str, int] = {}
    found = study.get_trials(deepcopy=False)
    for trial in found:
        counts[trial.state.name.lower()] = counts.get(trial.state.name.lower(), 0) + 1
    complete = [trial for trial in found if trial.state.name == "COMPLETE"]
    if not complete:
        said = ", ".join(f"{count} {state}" for state, count in counts.items()) or "none"
        raise RunError(f"No trial of the sweep has a score ({said}).", "the messages above say why; narrow the ranges")
    best = study.best_trial
    values = {one.path: one.restored(best.params[one.path]) for one in plan.ranges}
    config = plan.described(values)
    return Best(
        number=best.number,
        validation=best.value,
        values=values,
        config=config,
        directory=config.directory(plan.root),
        trials=counts,
    )


def option_words(values: Mapping[str, Any]) -> list[str]:
    """Values as words of a command line.

    Example:
        >>> option_words({"model.hidden": [64, 32], "optimizer.clip": None})
        ['--model.hidden', '64', '32', '--optimizer.clip', 'None']
    """
    words = []
    for path, value in values.items():
        words += [f"--{path}", *map(str, value if isinstance(value, list) else [value])]
    return words


class _Watched(Progress):
    """Passes on what happens, and lets the study judge every epoch."""

    def __init__(self, inner: Progress) -> None:
        self.inner = inner
        self.judge: Callable[[int, float], None] = lambda epoch, score: None

    def begun(self, config: RunConfig, directory: Path, resumed: str | None) -> None:
        self.inner.begun(config, directory, resumed)

    def noted(self, text: str) -> None:
        self.inner.noted(text)

    def trained(self, epoch: int, batch: int, batches: int, metrics: dict[str, float]) -> None:
        self.inner.trained(epoch, batch, batches, metrics)

    def evaluated(self, line: dict[str, Any]) -> None:
        self.inner.evaluated(line)
        self.judge(int(line["epoch"]), float(line["validation_score"]))

    def stage(self, text: str) -> None:
        self.inner.stage(text)

    def ended(self, config: RunConfig, result: dict[str, Any]) -> None:
        self.inner.ended(config, result)

    def failed(self, config: RunConfig, error: SpikeworksError) -> None:
        self.inner.failed(config, error)


def _carry_out(
    optuna: Any, plan: Sweep, study: Any, trial: Any, watched: _Watched, seconds: float, heard: Callable[[str], None]
) -> None:
    """One trial, from the drawing to what the study is told."""
    values = {one.path: one.draw(trial) for one in plan.ranges}
    said = f"trial {trial.number}: {', '.join(f'{path} {_shown(value)}' for path, value in values.items())}"
    failed = optuna.trial.TrialState.FAIL

    def judge(epoch: int, score: float) -> None:
        trial.report(score, epoch)
        if plan.prune and trial.should_prune():
            raise optuna.TrialPruned

    watched.judge = judge
    try:
        config = plan.described(values)
        result = Run(config, plan.root, plan.data_root).execute(watched, checkpoint_seconds=seconds)
        score = result["score"]["validation"]  # the test score is nobody's business here
        study.tell(trial, score, skip_if_finished=True)
        heard(f"{said}: validation {score:.6g}")
    except optuna.TrialPruned:
        study.tell(trial, state=optuna.trial.TrialState.PRUNED, skip_if_finished=True)
        heard(f"{said}: pruned")
    except (TrainingDiverged, ConfigError) as error:
        study.tell(trial, state=failed, skip_if_finished=True)
        heard(f"{said}: {error}")
    except RunError as error:  # another process carries out this trial
        heard(f"{said}: {error}")


def _open(optuna: Any, plan: Sweep, path: Path) -> Any:
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend

    higher = plan.config.task.build(plan.data_root).metric.higher_is_better
    pruner = optuna.pruners.MedianPruner(n_startup_trials=4, n_warmup_steps=1)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        return optuna.create_study(
            storage=JournalStorage(JournalFileBackend(str(path))),
            study_name=plan.name,
            direction="maximize" if higher else "minimize",
            sampler=optuna.samplers.TPESampler(seed=plan.sampler_seed, constant_liar=True),
            pruner=pruner if plan.prune else optuna.pruners.NopPruner(),
            load_if_exists=True,
        )
    except (OSError, ValueError, LookupError, TypeError, AssertionError) as error:
        raise RunError(f"{path} is no journal of a sweep: {error}.", "give another file by --study") from error


def _optuna() -> Any:
    try:
        import optuna
    except ImportError:
        raise ConfigError("A sweep needs Optuna.", "pip install 'spikeworks[arena]'") from None
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return optuna


def _unreadable(text: str) -> ConfigError:
    return ConfigError(
        f"What is varied cannot be read: {text!r}.",
        "for instance learning_rate=1e-4..1e-1:log, batch_size=16..128, optimizer.clip=None,1 or hidden=64x64,128x64",
    )


def _value(word: str) -> Any:
    """A word as what it says: nothing, a truth value, a number, a list of numbers (``64x32``), a text."""
    word = word.strip()
    named = {"None": None, "True": True, "False": False}
    if word in named:
        return named[word]
    for kind in (int, float):
        try:
            return kind(word)
        except ValueError:
            continue
    parts = word.split("x")
    return [int(part) for part in parts] if len(parts) > 1 and all(part.isdigit() for part in parts) else word


def _shown(value: Any) -> str:
    if isinstance(value, list):
        return "x".join(map(str, value))
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _value_at(config: Any, path: str) -> Any:
    for part in path.split("."):
        config = getattr(config, part, None)
    return config
