"""The segregated temporal probe: does a task need temporal processing, of which kind, and how long a memory?

The same network is trained complete (STBP: backpropagation through time), without temporal credit (SDBP), and
without temporal state (NoTD), from the same weights, on the same batches, by the same optimiser. What carrying
state brings is ``SDBP - NoTD``, what temporal credit brings ``STBP - SDBP``. Source: arXiv 2502.09449; horizon
curves, intervals and verdict are ours.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from torch import Tensor

from ..measure import stats
from ..tasks import Task, TaskConfig
from ..tasks.base import MetricInfo
from .comparison import Outcome, run_all
from .config import RunConfig
from .distributed import resolve_device
from .probe_gain import Difference, above, difference, values
from .probe_plan import CURVES, MODES, POOLING, Horizons, Mode, Trial, length, plan_probe
from .probe_verdict import LEAST, Curve, Gains, Point, Score, Verdict, best, judge
from .progress import Progress
from .resolve import NeuronLike
from .run import Run
from .summary import Estimate

_Values = dict[int, Tensor]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Probe:
    """What the probe found on one task with one neuron.

    Attributes:
        task: the task's name; model: the network's; metric: the task's.
        seeds: the seeds trained.
        steps: T, of the longest sequence.
        chance: share of the largest class in the test split; ``None`` for tokens.
        least: the smallest gain that counts.
        scores: the three networks with every readout; gains: S-N, T-S and T-N for every readout.
        overall: best STBP minus best NoTD.
        curves: credit and memory horizon, where asked for.
        verdict: in words.
        notes: what of the network or the task bears on the reading.
        outcomes: all runs.
    """

    task: str
    model: str
    metric: MetricInfo
    seeds: tuple[int, ...]
    steps: int
    chance: float | None
    least: float
    scores: tuple[Score, ...]
    gains: tuple[Gains, ...]
    overall: Difference | None
    curves: tuple[Curve, ...]
    verdict: Verdict
    notes: tuple[str, ...]
    outcomes: tuple[Outcome, ...]

    def score(self, mode: str, readout: str) -> Score:
        """That of one network."""
        return next(s for s in self.scores if (s.mode, s.readout) == (mode, readout))


def probe(
    task: str | TaskConfig,
    neuron: NeuronLike = "lif",
    *,
    seeds: int | Sequence[int] = 3,
    readouts: Sequence[str] | None = None,
    horizons: Horizons = "short",
    least: float = LEAST,
    root: str | Path = "runs",
    data_root: str | Path | None = None,
    change: Callable[[RunConfig], RunConfig] = lambda config: config,
    progress: Progress | None = None,
    checkpoint_seconds: float = 60.0,
) -> Probe:
    """Train what :func:`~spikeworks.arena.probe_plan.plan_probe` plans, and judge.

    Finished runs are read, cut ones resumed.

    Args:
        task: a registered name or a description.
        neuron: name, class or description.
        seeds: how many, counted from 0, or which.
        readouts: kinds; ``None`` takes ``mean`` and ``last``, for tokens ``every``.
        horizons: ``none``, ``short`` or ``full``.
        least: the smallest gain that counts, in fractions, or nats a token.
        root: folder of all runs.
        data_root: folder of the real data.
        change: applied to the recipe, for instance to set epochs.
        progress: hears what happens.
        checkpoint_seconds: longest time between two checkpoints within an epoch.

    Raises:
        UnknownName: no such task, neuron, readout or horizons; ConfigError: a network that cannot be probed; else
            what :meth:`~spikeworks.arena.run.Run.execute` raises.

    Example:
        ``probe("seq-digits", "lif", seeds=1, horizons="none").verdict.sentence``
    """
    numbers = list(range(seeds)) if isinstance(seeds, int) else list(seeds)
    trials = plan_probe(
        task, neuron, seeds=numbers, readouts=readouts, horizons=horizons, data_root=data_root, change=change
    )
    outcomes = run_all(
        [trial.config for trial in trials], root, data_root, progress=progress, checkpoint_seconds=checkpoint_seconds
    )
    built = trials[0].config.task.build(data_root)
    return _assembled(_Results(built, trials, outcomes, data_root), numbers, least)


class _Results:
    """What the runs gave, by network."""

    def __init__(
        self, task: Task, trials: Sequence[Trial], outcomes: Sequence[Outcome], data_root: str | Path | None
    ) -> None:
        self.task, self.trials, self.outcomes = task, trials, outcomes
        self.values: dict[tuple[str, str, int | None], _Values] = {}
        self.results: dict[tuple[str, str, int | None], dict[int, dict]] = {}
        for trial, outcome in zip(trials, outcomes, strict=True):
            if outcome.result is None:
                continue
            key, seed = (trial.mode, trial.readout, trial.reach), trial.config.seed
            run = Run(trial.config, outcome.directory.parent.parent, data_root)
            network = run.trained(task, resolve_device(trial.config.device))
            self.values.setdefault(key, {})[seed] = values(network, task, trial.config.budget.batch_size)
            self.results.setdefault(key, {})[seed] = {
                **outcome.result["score"],
                "epochs": outcome.result["epochs"],
            }

    def of(self, mode: str, readout: str, reach: int | None = None) -> _Values:
        return self.values.get((mode, readout, reach), {})

    def test(self, mode: str, readout: str, reach: int | None = None) -> Estimate | None:
        found = [score["test"] for score in self.results.get((mode, readout, reach), {}).values()]
        return Estimate(stats.mean(found), stats.spread(found), tuple(found)) if found else None

    def late(self, mode: str, readout: str) -> bool:
        """Whether most seeds were best in the last tenth of their epochs."""
        found = self.results.get((mode, readout, None), {}).values()
        return sum(score["chosen_epoch"] > 0.9 * score["epochs"] for score in found) > len(found) / 2

    def validation(self, mode: str, readout: str) -> float | None:
        found = [score["validation"] for score in self.results.get((mode, readout, None), {}).values()]
        sign = 1.0 if self.task.metric.higher_is_better else -1.0
        return sign * stats.mean(found) if found else None


def _assembled(results: _Results, seeds: Sequence[int], least: float) -> Probe:
    task, trials = results.task, results.trials
    readouts = list(dict.fromkeys(trial.readout for trial in trials))
    chance = _chance(task)
    scores = tuple(_score(results, mode, readout, chance) for readout in readouts for mode in MODES)
    gains = tuple(_gains(results, readout) for readout in readouts)
    complete, without = best(scores, "stbp"), best(scores, "notd")
    overall = None
    if complete is not None and without is not None:
        overall = difference(results.of("stbp", complete.readout), results.of("notd", without.readout))
    steps = length(task, trials[0].config.budget.batch_size)
    curves = tuple(
        curve for readout in readouts for kind in CURVES if (curve := _curve(results, kind, readout, steps)) is not None
    )
    return Probe(
        task=task.name,
        model=trials[0].config.model_name,
        metric=task.metric,
        seeds=tuple(seeds),
        steps=steps,
        chance=chance,
        least=least,
        scores=scores,
        gains=gains,
        overall=overall,
        curves=curves,
        verdict=judge(scores, gains, overall, curves, unit=task.metric.unit, least=least),
        notes=_notes(results),
        outcomes=tuple(results.outcomes),
    )


def _score(results: _Results, mode: str, readout: str, chance: float | None) -> Score:
    found = results.of(mode, readout)
    return Score(
        mode=mode,
        readout=readout,
        test=results.test(mode, readout),
        validation=results.validation(mode, readout),
        above_chance=None if chance is None else above(found, chance),
        late=results.late(mode, readout),
    )


def _gains(results: _Results, readout: str) -> Gains:
    none, space, full = (results.of(mode, readout) for mode in MODES)
    return Gains(
        readout=readout,
        state=difference(space, none),
        credit=difference(full, space),
        total=difference(full, none),
    )


def _curve(results: _Results, kind: Mode, readout: str, steps: int) -> Curve | None:
    trials = {trial.reach: trial for trial in results.trials if (trial.mode, trial.readout) == (kind, readout)}
    if not trials:
        return None
    start = "sdbp" if kind == "credit" else "notd"
    base = results.of(start, readout)
    points = []
    for mode, reach, window, at in (
        (start, None, 1, 1),
        *((kind, reach, trial.window, reach) for reach, trial in trials.items()),
        ("stbp", None, None, steps),
    ):
        test, gain = results.test(mode, readout, reach), difference(results.of(mode, readout, reach), base)
        if test is not None and gain is not None and at is not None:
            points.append(Point(reach=at, window=window, test=test, gain=gain))
    whole = len(points) > 1 and points[0].reach == 1 and points[-1].window is None
    return Curve(kind=kind, readout=readout, points=tuple(points)) if whole else None


def _chance(task: Task) -> float | None:
    """Share of the largest class in the test split."""
    if task.signature.kind == "tokens":
        return None
    data = task.data("test")
    labels = torch.cat([data.batch(item).target.flatten() for item in data.plan(256)])
    labels = labels[labels >= 0]  # steps may have none
    return (torch.bincount(labels).max() / len(labels)).item()


def _notes(results: _Results) -> tuple[str, ...]:
    model, task = results.trials[0].config.model, results.task
    notes = []
    if getattr(model, "delay", None) is not None:
        notes.append("Delays are a memory that NoTD and SDBP keep as well: what they bring is in none of the gains.")
    norm = getattr(model, "norm", "none")
    if norm in ("batch", "tdbn", "tebn", "bntt"):
        notes.append(f"Norm {norm} takes moments over time or has a clock; NoTD keeps both.")
    if any(trial.reach for trial in results.trials):
        if task.signature.kind == "tokens":
            notes.append("The state is carried from batch to batch, so the complete network's memory has no end.")
        elif task.signature.steps is None:
            notes.append("Sequences differ in length: a window of K steps is the most that an answer draws on.")
        elif any(trial.reach and trial.readout in POOLING for trial in results.trials):
            notes.append("Where a readout pools, a window of K steps is the most that its steps draw on.")
        elif task.signature.kind == "labelling":
            notes.append("Every step is answered: a window of K steps is the most that an answer draws on.")
    return tuple(notes)


__all__ = ["Probe", "probe"]
