"""Runs grouped over seeds: one row for one model on one task.

Two runs belong together when their descriptions differ in the seed alone. Where rows of one
task would carry the same label, the settings that differ are added to it, so that a short trial
never hides behind the name of a full training. Best and Pareto flags compare the rows of one task.
"""

from __future__ import annotations

import dataclasses
import logging
import math
import statistics
from collections.abc import Callable, Iterable, Sequence
from itertools import pairwise
from typing import Any

from spikeworks.core import quantities
from spikeworks.core.config import canonical_json
from spikeworks.measure import stats

from .clock import clocks_of_run
from .store import RunRecord

_log = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class Estimate:
    """Mean over seeds, sample standard deviation (``None`` for one seed), and the values."""

    mean: float
    spread: float | None
    values: tuple[float, ...]

    @property
    def n(self) -> int:
        """Number of seeds."""
        return len(self.values)


@dataclasses.dataclass(frozen=True)
class Metric:
    """What the score is: ``unit`` ``"fraction"`` is shown in percent."""

    name: str
    unit: str
    higher_is_better: bool

    @property
    def scale(self) -> float:
        """What a score is multiplied by before it is drawn."""
        return 100.0 if self.unit == "fraction" else 1.0

    @property
    def axis(self) -> str:
        """The name beside an axis: ``accuracy, %``."""
        unit = quantities.shown_unit(self.unit)
        return f"{self.name}{f', {unit}' if unit else ''}{'' if self.higher_is_better else ' (lower is better)'}"


@dataclasses.dataclass(frozen=True)
class Row:
    """One model on one task over its seeds.

    Attributes:
        task: the task's name, with the settings that tell it from a sibling of the same name.
        label: the model's name, likewise.
        metric: what ``score`` means; ``None`` where no run finished.
        score, validation: test and validation score at the chosen epoch.
        parameters: trainable parameters.
        train_rate, inference_rate: samples per second.
        saved_bytes, live_bytes: the most that an update keeps for backward at once, and the most that it
            holds alive at once, beside weights, the optimiser's state and the batch.
        energy_convention, energy_memory: nJ per inference, by the plain convention and by the
            memory-aware model.
        spike_rate: spikes per neuron and step, mean over blocks; ``spike_rates`` per block.
        train_seconds: seconds spent training; ``epoch_seconds``: of an epoch, the median of each run.
        best: nothing in this task scores better on average.
        clock: what in the model knows the number of the step, see :mod:`~spikeworks.arena.clock`.
        pareto_energy, pareto_time, pareto_memory: no row scores at least as well for less energy
            (memory-aware), less training time, or fewer bytes kept for backward.
        records: the finished runs behind the row; ``failed``: the others.
    """

    task: str
    label: str
    model: str
    metric: Metric | None
    seeds: tuple[int | None, ...]
    score: Estimate | None
    validation: Estimate | None
    parameters: Estimate | None
    train_rate: Estimate | None
    inference_rate: Estimate | None
    saved_bytes: Estimate | None
    live_bytes: Estimate | None
    energy_convention: Estimate | None
    energy_memory: Estimate | None
    spike_rate: Estimate | None
    spike_rates: tuple[float, ...]
    train_seconds: Estimate | None
    epoch_seconds: Estimate | None
    records: tuple[RunRecord, ...]
    failed: tuple[RunRecord, ...]
    clock: tuple[str, ...] = ()
    best: bool = False
    pareto_energy: bool = False
    pareto_time: bool = False
    pareto_memory: bool = False

    @property
    def frontiers(self) -> tuple[str, ...]:
        """The costs of which no row buys as good a score with less."""
        flags = {"energy": self.pareto_energy, "time": self.pareto_time, "memory": self.pareto_memory}
        return tuple(name for name, member in flags.items() if member)


def summarize(records: Iterable[RunRecord]) -> list[Row]:
    """Rows ordered by task, the best score first; rows without a finished run come last."""
    tasks: dict[str, list[RunRecord]] = {}
    for record in records:
        tasks.setdefault(f"{record.task}\n{_task_key(record)}", []).append(record)
    titles = _distinct([(group[0].task, group[0].config.get("task", {})) for group in tasks.values()])
    rows: list[Row] = []
    for title, group in zip(titles, tasks.values(), strict=True):
        rows += _task_rows(title, group)
    return sorted(rows, key=lambda row: row.task)  # stable: keeps the order within a task


def frontier(rows: Sequence[Row], cost: Callable[[Row], Estimate | None]) -> list[Row]:
    """Rows that no other row beats in score and ``cost`` at once, cheapest first; equals stand side by side."""
    usable = [row for row in rows if row.score is not None and row.metric is not None and cost(row) is not None]
    points = [(_mean(cost(row)), -_goodness(row), row) for row in usable]
    chosen: list[Row] = []
    last = (0.0, math.inf)
    for price, badness, row in sorted(points, key=lambda point: point[:2]):
        if badness < last[1] or (price, badness) == last:
            chosen.append(row)
            last = (price, badness)
    return chosen


def compares_methods(rows: Iterable[Row]) -> bool:
    """Whether a network among the rows learned by more than one method: then memory is what tells them apart."""
    return _several_methods([record for row in rows for record in (*row.records, *row.failed)])


def metric_of(rows: Iterable[Row]) -> Metric:
    """The metric of the first row that has one."""
    return next((row.metric for row in rows if row.metric is not None), Metric("score", "", True))


def separated(first: Row, second: Row) -> bool | None:
    """Whether the seeds tell two models apart at 95 %; ``None`` where one of them has a single seed.

    Paired over the seeds that both have where there are two or more; else by intervals that do not overlap.
    """
    if first.score is None or second.score is None or min(first.score.n, second.score.n) < 2:
        return None
    mine, theirs = by_seed(first), by_seed(second)
    if len(mine.keys() & theirs.keys()) > 1:
        return stats.paired(mine, theirs).resolved
    difference = abs(first.score.mean - second.score.mean)
    return difference > _half_width(first.score) + _half_width(second.score)


def by_seed(row: Row) -> dict[int, float]:
    """From seed to test score."""
    values = row.score.values if row.score is not None else ()
    return {seed: value for seed, value in zip(row.seeds, values, strict=True) if seed is not None}


def _half_width(score: Estimate) -> float:
    interval = stats.summarize(score.values)
    return interval.mean - interval.low if interval.low is not None else math.inf


def _task_key(record: RunRecord) -> str:
    return canonical_json(record.config.get("task", {}))


def _label(record: RunRecord, methods: bool) -> str:
    """The name of a run; one that learned by the default names its method where there are others beside it."""
    method = record.config.get("method")
    default = isinstance(method, dict) and method.get("kind") == "bptt" and not record.config.get("label")
    return f"{record.label} bptt" if methods and default else record.label


def _several_methods(records: Iterable[RunRecord]) -> bool:
    methods: dict[str, set[str]] = {}
    for record in records:
        if {"model", "method"} <= record.config.keys():  # runs of before there were methods say nothing
            network = canonical_json(record.config["model"])
            methods.setdefault(network, set()).add(canonical_json(record.config["method"]))
    return any(len(found) > 1 for found in methods.values())


def _model_key(record: RunRecord) -> str:
    if not record.config:  # nothing is known: never mix such runs
        return f"{record.label} {record.path}"
    return f"{record.label} {canonical_json({k: v for k, v in record.config.items() if k != 'seed'})}"


def _task_rows(task: str, records: Sequence[RunRecord]) -> list[Row]:
    groups: dict[str, list[RunRecord]] = {}
    for record in records:
        groups.setdefault(_model_key(record), []).append(record)
    methods = _several_methods(records)
    labels = _distinct([(_label(g[0], methods), {**g[0].config, "seed": None, "task": None}) for g in groups.values()])
    rows = [_row(task, label, group) for label, group in zip(labels, groups.values(), strict=True)]
    scored = sorted((row for row in rows if row.score is not None), key=_goodness, reverse=True)
    top = _goodness(scored[0]) if scored else None
    costs: dict[str, Callable[[Row], Estimate | None]] = {
        "pareto_energy": lambda row: row.energy_memory,
        "pareto_time": lambda row: row.train_seconds,
        "pareto_memory": lambda row: row.saved_bytes,
    }
    members = {flag: {id(row) for row in frontier(scored, cost)} for flag, cost in costs.items()}
    flagged = [
        dataclasses.replace(
            row, best=_goodness(row) == top, **{flag: id(row) in chosen for flag, chosen in members.items()}
        )
        for row in scored
    ]
    return flagged + [row for row in rows if row.score is None]


def _row(task: str, label: str, records: Sequence[RunRecord]) -> Row:
    done: dict[int | None, RunRecord] = {}
    for record in records:
        if record.finished and record.seed in done and record.seed is not None:
            _log.warning(
                "%s repeats seed %s of %s; it is not counted", record.path, record.seed, done[record.seed].path
            )
        elif record.finished:
            done[record.seed] = record
    finished = tuple(done.values())
    return Row(
        task=task,
        label=label,
        model=records[0].model,
        metric=_metric(finished[0].result) if finished else None,
        seeds=tuple(record.seed for record in finished),
        score=_over(finished, "score", "test"),
        validation=_over(finished, "score", "validation"),
        parameters=_over(finished, "parameters"),
        train_rate=_over(finished, "speed", "train_samples_per_second"),
        inference_rate=_over(finished, "speed", "inference_samples_per_second"),
        saved_bytes=_over(finished, "memory", "saved_bytes"),
        live_bytes=_over(finished, "memory", "live_bytes"),
        energy_convention=_over(finished, "energy", "convention_nj"),
        energy_memory=_over(finished, "energy", "memory_aware_nj"),
        spike_rate=_estimate([stats.mean(rates) for r in finished if (rates := _rates(r))]),
        spike_rates=_block_rates(finished),
        train_seconds=_over(finished, "seconds"),
        epoch_seconds=_estimate([seconds for r in finished if (seconds := _epoch_seconds(r)) is not None]),
        records=finished,
        failed=tuple(record for record in records if not record.finished),
        clock=tuple(dict.fromkeys(reason for record in finished or records for reason in clocks_of_run(record))),
    )


def _metric(result: dict[str, Any]) -> Metric:
    """The metric of a result; a unit that only repeats the name is left out."""
    metric = result["metric"]
    name, unit = str(metric["name"]), str(metric.get("unit") or "")
    return Metric(name, "" if unit == name else unit, bool(metric["higher_is_better"]))


def _over(records: Sequence[RunRecord], *keys: str) -> Estimate | None:
    return _estimate([value for record in records if (value := number(record.result, *keys)) is not None])


def number(node: Any, *keys: str) -> float | None:
    """The finite number at a path of keys in nested dictionaries, or ``None``."""
    for key in keys:
        node = node.get(key) if isinstance(node, dict) else None
    if isinstance(node, bool) or not isinstance(node, int | float) or not math.isfinite(node):
        return None
    return float(node)


def _epoch_seconds(record: RunRecord) -> float | None:
    """Median training seconds of an epoch; one that a limit of time cut short counts only where all are."""
    ends = [(number(line, "seconds"), number(line, "step")) for line in record.metrics]
    known = [(seconds, step) for seconds, step in ends if seconds is not None and step is not None]
    if not known or len(known) < len(ends):
        return None
    epochs = [(late[0] - early[0], late[1] - early[1]) for early, late in pairwise([(0.0, 0.0), *known])]
    longest = max(steps for _, steps in epochs)
    return statistics.median(seconds for seconds, steps in epochs if steps == longest)


def _estimate(values: Sequence[float]) -> Estimate | None:
    if not values:
        return None
    return Estimate(stats.mean(values), stats.spread(values), tuple(values))


def _rates(record: RunRecord) -> list[float]:
    rates = record.result.get("spike_rates")
    return [float(rate) for rate in rates if isinstance(rate, int | float)] if isinstance(rates, list) else []


def _block_rates(records: Sequence[RunRecord]) -> tuple[float, ...]:
    columns = zip(*(rates for record in records if (rates := _rates(record))), strict=False)
    return tuple(stats.mean(column) for column in columns)


def _mean(estimate: Estimate | None) -> float:
    return math.nan if estimate is None else estimate.mean


def _goodness(row: Row) -> float:
    """Larger is better, whatever the direction of the metric."""
    assert row.metric is not None and row.score is not None
    return row.score.mean if row.metric.higher_is_better else -row.score.mean


def _distinct(named: Sequence[tuple[str, dict[str, Any]]]) -> list[str]:
    """The names, with the settings that differ added where two are equal."""
    labels = []
    for name, config in named:
        twins = [_leaves(other) for twin, other in named if twin == name]
        mine = _leaves(config)
        differing = [key for key in mine if any(twin.get(key) != mine[key] for twin in twins)]
        extra = ", ".join(f"{_short(key, differing)}={mine[key]}" for key in differing[:3])
        labels.append(f"{name} ({extra})" if len(twins) > 1 and extra else name)
    return labels


def _leaves(node: Any, path: str = "") -> dict[str, Any]:
    if not isinstance(node, dict):
        return {path: "×".join(map(str, node)) if isinstance(node, list) else node}
    return {k: v for key, value in node.items() for k, v in _leaves(value, f"{path}.{key}".strip(".")).items()}


def _short(key: str, keys: Sequence[str]) -> str:
    """The last part of a dotted key, unless another differing key ends alike."""
    last = key.rpartition(".")[2]
    return key if sum(other.rpartition(".")[2] == last for other in keys) > 1 else last
