"""Leader boards: the models of one task in order, how sure each score is, and who is really behind the leader.

A score comes with Student's t interval over seeds. Every model is compared with the leader by a paired t test over
the seeds that both have; as many models are compared with one, p values are corrected by Holm's step-down method
(S. Holm, "A simple sequentially rejective multiple test procedure", 1979). Two models of one seed each cannot be told
apart, and the board says so.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby
from typing import Any

from ..core.config import canonical_json
from ..measure import stats
from .store import RunRecord
from .summary import Metric, Row, by_seed, metric_of, summarize

LEVEL = 0.95
"""Probability of the intervals; what is below ``1 - LEVEL`` after the correction counts as a difference."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Behind:
    """How far a model is behind the leader.

    Attributes:
        seeds: that both have; the difference is taken seed by seed.
        difference: the leader's score minus this one; negative where a low score is good.
        low, high: its interval; ``None`` for one seed.
        p_value: of the paired t test, corrected for the number of models; ``None`` for one seed.
    """

    seeds: tuple[int, ...]
    difference: float
    low: float | None
    high: float | None
    p_value: float | None

    @property
    def told_apart(self) -> bool | None:
        """Whether the seeds tell the two apart; ``None`` where one seed cannot."""
        return None if self.p_value is None else self.p_value < 1 - LEVEL


@dataclasses.dataclass(frozen=True, kw_only=True)
class Entry:
    """One model on a board.

    Attributes:
        place: from 1 on, by the mean score; equal means share a place.
        low, high: interval of the mean score; ``None`` for one seed.
        behind: against the leader; ``None`` for the leader, and where the two share no seed.
    """

    place: int
    row: Row
    low: float | None
    high: float | None
    behind: Behind | None

    @property
    def clock(self) -> tuple[str, ...]:
        """What in the model knows the number of the step."""
        return self.row.clock

    @property
    def leads(self) -> bool:
        """Whether nothing is certainly better: the leader, and what the seeds do not tell from it."""
        return self.place == 1 or (self.behind is not None and self.behind.told_apart is False)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Board:
    """The models of one task under one protocol.

    Attributes:
        task: its registered name; ``title``: with the settings that tell it from siblings of that name.
        protocol: of the task, where it has several.
        entries: the best first.
        unscored: models of which no run finished.
    """

    task: str
    title: str
    protocol: str | None
    metric: Metric
    entries: tuple[Entry, ...]
    unscored: tuple[Row, ...]

    @property
    def rows(self) -> list[Row]:
        """All rows, those without a score last."""
        return [*(entry.row for entry in self.entries), *self.unscored]


def boards(records: Iterable[RunRecord]) -> list[Board]:
    """A board for each task and each set of its settings.

    Example:
        ``boards(load_runs("runs"))[0].entries[0].row.label``
    """
    rows = summarize(records)
    return [_board(title, list(group)) for title, group in groupby(rows, key=lambda row: row.task)]


def holm(p_values: Sequence[float]) -> list[float]:
    """P values of several tests of which none shall be wrong, by Holm's step-down method.

    Example:
        >>> holm([0.04, 0.01, 0.5])
        [0.08, 0.03, 0.5]
    """
    order = sorted(range(len(p_values)), key=lambda i: p_values[i])
    corrected = [0.0] * len(p_values)
    largest = 0.0
    for rank, index in enumerate(order):
        largest = max(largest, min(1.0, (len(p_values) - rank) * p_values[index]))
        corrected[index] = largest
    return corrected


def _board(title: str, rows: list[Row]) -> Board:
    scored = [row for row in rows if row.score is not None]
    some = next(record for row in rows for record in (*row.records, *row.failed))
    protocol = some.config.get("task", {}).get("protocol") if isinstance(some.config.get("task"), dict) else None
    against = _against_leader(scored)
    entries, place = [], 0
    for number, (row, behind) in enumerate(zip(scored, against, strict=True), start=1):
        assert row.score is not None
        if not entries or entries[-1].row.score.mean != row.score.mean:
            place = number
        interval = stats.summarize(row.score.values, LEVEL)
        entries.append(Entry(place=place, row=row, low=interval.low, high=interval.high, behind=behind))
    return Board(
        task=some.task,
        title=title,
        protocol=protocol if isinstance(protocol, str) else None,
        metric=metric_of(rows),
        entries=tuple(entries),
        unscored=tuple(row for row in rows if row.score is None),
    )


def _against_leader(scored: Sequence[Row]) -> list[Behind | None]:
    found = [None if number == 0 else _behind(scored[0], row) for number, row in enumerate(scored)]
    tested = [i for i, behind in enumerate(found) if behind is not None and behind.p_value is not None]
    for index, p_value in zip(tested, holm([found[i].p_value for i in tested]), strict=True):  # type: ignore[union-attr,misc]
        found[index] = dataclasses.replace(found[index], p_value=p_value)  # type: ignore[type-var]
    return found


def _behind(leader: Row, row: Row) -> Behind | None:
    ours, theirs = by_seed(leader), by_seed(row)
    if not ours.keys() & theirs.keys():
        return None
    pair = stats.paired(ours, theirs, LEVEL)
    gap = pair.difference
    return Behind(seeds=pair.seeds, difference=gap.mean, low=gap.low, high=gap.high, p_value=pair.p_value)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Gap:
    """One model under the published protocol of a task and under the clean one.

    Attributes:
        paper, clean: their mean scores; ``gain``: by how much the published one flatters it, in the metric's unit,
            above 0 where it looks better.
    """

    label: str
    paper: float
    clean: float
    gain: float
    metric: Metric


def gaps(found: Iterable[Board]) -> list[Gap]:
    """For each model that ran under both protocols of a task, what the published one flatters it by."""
    sides: dict[str, dict[str, Row]] = {}
    metrics = {}
    for board in found:
        for entry in board.entries if board.protocol in ("paper", "clean") else ():
            key = _model_and_task(entry.row.records[0].config)
            sides.setdefault(key, {})[str(board.protocol)] = entry.row
            metrics[key] = board.metric
    listed = []
    for key, rows in sides.items():
        paper, clean = (rows[side].score if side in rows else None for side in ("paper", "clean"))
        if paper is not None and clean is not None:
            sign = 1.0 if metrics[key].higher_is_better else -1.0
            listed.append(
                Gap(
                    label=rows["clean"].label,
                    paper=paper.mean,
                    clean=clean.mean,
                    gain=sign * (paper.mean - clean.mean),
                    metric=metrics[key],
                )
            )
    return listed


def _model_and_task(config: Mapping[str, Any]) -> str:
    """A description without its protocol and seed."""
    task = {name: value for name, value in config.get("task", {}).items() if name != "protocol"}
    return canonical_json({**config, "task": task, "seed": None})
