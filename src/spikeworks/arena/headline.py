"""The result of a task in words: which model is best, at what cost, and how sure that is."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence

from ..core import quantities
from .summary import Estimate, Row, compares_methods, frontier, separated


@dataclasses.dataclass(frozen=True)
class _Cost:
    """What a good score is bought with: its name, where it stands, and how it is said."""

    name: str
    of: Callable[[Row], Estimate | None]
    say: Callable[[float], str]


_ENERGY = _Cost("energy", lambda row: row.energy_memory, lambda nj: f"{quantities.energy(nj)} per inference")
_MEMORY = _Cost("memory", lambda row: row.saved_bytes, lambda size: f"{quantities.size(size)} kept for backward")


@dataclasses.dataclass(frozen=True)
class Headline:
    """``lead`` is the one sentence that a listener keeps; ``rest`` qualifies it."""

    lead: str
    rest: tuple[str, ...]

    def __str__(self) -> str:
        return " ".join((self.lead, *self.rest))


def headline(rows: Sequence[Row]) -> Headline:
    """What the rows of one task say.

    Args:
        rows: of one task, the best first, as :func:`spikeworks.arena.summary.summarize` returns them.
            The cost is memory where they differ in how they learned, else energy.
    """
    cost = _MEMORY if compares_methods(rows) else _ENERGY
    scored = [row for row in rows if row.score is not None]
    if not scored:
        failed = sum(len(row.failed) for row in rows)
        what = "The only run has no score." if failed == 1 else f"None of {failed} runs has a score."
        return Headline(what, ("The reasons are listed below.",))
    best, others = scored[0], scored[1:]
    tied = [row for row in others if row.best]
    if not others:
        verb = "reaches"
    elif tied:
        verb = f"and {_names(tied)} share the best score:"
    else:
        verb = f"scores best of {len(scored)} models:"
    lead = f"{best.label} {verb} {_score(best)}{_cost(best, cost)}."
    return Headline(lead, tuple(filter(None, (_certainty(best, others), _cheaper(best, scored, cost)))))


def _score(row: Row) -> str:
    assert row.score is not None and row.metric is not None
    value = quantities.score(row.score.mean, row.score.spread, row.metric.unit)
    seeds = "one seed" if row.score.n == 1 else f"{row.score.n} seeds"
    return f"{row.metric.name} {value} over {seeds}"


def _value(row: Row) -> str:
    assert row.score is not None and row.metric is not None
    return quantities.score(row.score.mean, row.score.spread, row.metric.unit)


def _cost(row: Row, cost: _Cost) -> str:
    costs = []
    if (price := cost.of(row)) is not None:
        costs.append(cost.say(price.mean))
    if row.train_seconds is not None:
        costs.append(f"{quantities.duration(row.train_seconds.mean)} of training")
    return f", at {' and '.join(costs)}" if costs else ""


def _certainty(best: Row, others: Sequence[Row]) -> str | None:
    """Whether the order at the top would survive other seeds."""
    single = [row for row in (best, *others) if row.score is not None and row.score.n == 1]
    if not others:
        return "One seed says nothing about the spread." if single else None
    if single:
        who = "Every model" if len(single) == len(others) + 1 else _names(single)
        return f"{who} ran with one seed, so the order may be chance."
    fewest = min(row.score.n for row in (best, *others) if row.score is not None)
    unsure = [row for row in others if not separated(best, row)]
    if not unsure:
        return f"Its lead over {others[0].label} ({_value(others[0])}) holds at 95 % confidence, with {fewest} seeds."
    close = [row for row in unsure if _overlap(best, row)]
    clear = [row for row in unsure if not _overlap(best, row)]
    parts = []
    if close:
        listed = _names([f"{row.label} ({_value(row)})" for row in close])
        parts.append(f"{listed} {'lies' if len(close) == 1 else 'lie'} within the spread of the seeds.")
    if clear:
        parts.append(
            f"The lead over {_names(clear)} is larger than the spread, "
            f"but {fewest} seeds are too few to be 95 % sure of it."
        )
    return " ".join(parts)


def _overlap(first: Row, second: Row) -> bool:
    """Whether means and standard deviations of two rows reach each other."""
    assert first.score is not None and second.score is not None
    reach = (first.score.spread or 0.0) + (second.score.spread or 0.0)
    return abs(first.score.mean - second.score.mean) <= reach


def _cheaper(best: Row, scored: Sequence[Row], cost: _Cost) -> str | None:
    """What the least energy or memory buys."""
    known = [row for row in scored if (price := cost.of(row)) is not None and price.mean > 0]
    if len(known) < 2 or best not in known:
        return None
    least = frontier(known, cost.of)[0]
    most, fewest = (price.mean for row in (best, least) if (price := cost.of(row)) is not None)
    if most == fewest:
        return f"{best.label} also needs the least {cost.name}."
    times = most / fewest
    return (
        f"The least {cost.name} goes to {least.label}: {cost.say(fewest)}, "
        f"{float(f'{times:.{2 if times >= 2 else 3}g}'):g} times less, for {_value(least)}."
    )


def _names(rows: Sequence[Row] | Sequence[str]) -> str:
    names = [row if isinstance(row, str) else row.label for row in rows]
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
