"""The probe's verdict in words: does the data need temporal processing, of which kind, and how long a memory.

The rules, with ``least`` the smallest gain that counts and the kinds of a :class:`~.probe_gain.Difference`:

1. Where neither the best complete network (STBP) nor the best without memory (NoTD) is above chance, nothing
   was learned and nothing is said. *Best*: of all readouts the one with the highest validation score.
2. The two are compared, each with its own best readout. No gain: a single step suffices where NoTD reads the
   last one, a bag of frames where its readout pools over time. Not sure: undecided.
3. A gain: temporal processing is needed. Within the readout of the best STBP it is told apart what carrying
   the state brings (SDBP - NoTD) and what temporal credit brings (STBP - SDBP).
4. How long: the shortest reach of a curve from which on all points have 90 % of the gain from no time to all of it,
   where that is a gain.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Literal

from ..core import quantities
from .probe_gain import Difference
from .probe_plan import NAMES, POOLING
from .summary import Estimate

LEAST = 0.02
"""The smallest gain that counts: two points of accuracy, or 0.02 nats a token."""
SHARE = 0.9
"""Share of the gain that makes a horizon."""

Finding = Literal["untrained", "step", "pooling", "undecided", "state", "credit", "both", "memory"]
Answer = Literal["yes", "no", "undecided"]
ANSWERS: dict[Finding, Answer] = {
    "untrained": "undecided", "undecided": "undecided", "step": "no", "pooling": "no",
    "state": "yes", "credit": "yes", "both": "yes", "memory": "yes",
}  # fmt: skip


@dataclasses.dataclass(frozen=True, kw_only=True)
class Score:
    """One of the three networks with one readout.

    Attributes:
        mode: ``notd``, ``sdbp`` or ``stbp``; readout: its kind.
        test: over seeds, in the task's metric; ``None`` where no run finished.
        validation: mean over seeds, oriented so that more is better.
        above_chance: of its values; ``None`` where chance is not known.
        late: whether most seeds were best in the last tenth of training.
    """

    mode: str
    readout: str
    test: Estimate | None
    validation: float | None = None
    above_chance: Difference | None = None
    late: bool = False


@dataclasses.dataclass(frozen=True, kw_only=True)
class Gains:
    """Within one readout: ``state`` S-N, ``credit`` T-S and their sum ``total`` T-N; ``None`` without runs."""

    readout: str
    state: Difference | None
    credit: Difference | None
    total: Difference | None


@dataclasses.dataclass(frozen=True, kw_only=True)
class Point:
    """One network of a curve.

    Attributes:
        reach: most steps that the answer draws on; the last point of a curve has them all.
        window: steps between two cuts; ``None`` where nothing is cut.
        test: in the task's metric.
        gain: over the network of reach 1.
    """

    reach: int
    window: int | None
    test: Estimate
    gain: Difference


@dataclasses.dataclass(frozen=True, kw_only=True)
class Curve:
    """Score against reach, shortest first: ``credit`` from SDBP to STBP, or ``memory`` from NoTD to STBP."""

    kind: str
    readout: str
    points: tuple[Point, ...]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Horizon:
    """``reach`` steps are enough, ``short`` steps, the point before, are not."""

    reach: int
    short: int


@dataclasses.dataclass(frozen=True, kw_only=True)
class Verdict:
    """What the probe found.

    Attributes:
        finding: which rule decided.
        sentence: the answer.
        details: one sentence each about readouts, horizons and what to keep in mind.
    """

    finding: Finding
    sentence: str
    details: tuple[str, ...]

    @property
    def answer(self) -> Answer:
        """Whether temporal processing is needed."""
        return ANSWERS[self.finding]


def horizon(curve: Curve, least: float = LEAST) -> Horizon | None:
    """How long a memory or credit must reach; ``None`` where more of it brings no gain that is sure."""
    full = curve.points[-1].gain
    if len(curve.points) < 2 or full.kind(least) != "gain":
        return None
    enough = len(curve.points) - 1
    while enough > 0 and curve.points[enough - 1].gain.mean >= SHARE * full.mean:
        enough -= 1
    if enough == 0:
        return None
    return Horizon(reach=curve.points[enough].reach, short=curve.points[enough - 1].reach)


def best(scores: Sequence[Score], mode: str) -> Score | None:
    """The network of a mode with the highest validation score; the first of equals."""
    found = [s for s in scores if s.mode == mode and s.test is not None and s.validation is not None]
    return max(found, key=lambda s: s.validation or 0.0, default=None)


def judge(
    scores: Sequence[Score],
    gains: Sequence[Gains],
    overall: Difference | None,
    curves: Sequence[Curve] = (),
    *,
    unit: str = "fraction",
    least: float = LEAST,
) -> Verdict:
    """The verdict on scores, gains and curves by the rules above.

    Args:
        scores: of the three networks with every readout.
        gains: of every readout.
        overall: best STBP minus best NoTD, each as :func:`best` picks it.
        curves: of horizons.
        unit: of the task's metric.
        least: the smallest gain that counts.
    """
    words = _Words(unit, least)
    complete, without = best(scores, "stbp"), best(scores, "notd")
    if complete is None or without is None or overall is None:
        return Verdict(
            finding="undecided", sentence="Not decided: runs of the complete network or the one without memory failed.",
            details=(),
        )  # fmt: skip
    finding = _finding(complete, without, gains, overall, least)
    own = next(g for g in gains if g.readout == complete.readout)
    sentence = words.sentence(finding, complete, without, overall, own)
    details = [words.readout(g) for g in gains]
    details += [words.horizon(curve) for curve in curves]
    details += words.reminders(scores, finding)
    return Verdict(finding=finding, sentence=sentence, details=tuple(details))


def _finding(complete: Score, without: Score, gains: Sequence[Gains], overall: Difference, least: float) -> Finding:
    chances = [s.above_chance for s in (complete, without) if s.above_chance is not None]
    if chances and all(chance.low <= 0 for chance in chances):
        return "untrained"
    kind = overall.kind(least)
    if kind != "gain":
        if overall.high >= least:
            return "undecided"
        return "pooling" if without.readout in POOLING else "step"
    own = next(g for g in gains if g.readout == complete.readout)
    state = own.state is not None and own.state.kind(least) == "gain"
    credit = own.credit is not None and own.credit.kind(least) == "gain"
    if state and credit:
        return "both"
    return "credit" if credit else "state" if state else "memory"


class _Words:
    """Sentences in the unit of a metric."""

    def __init__(self, unit: str, least: float) -> None:
        self.fraction = unit == "fraction"
        self.unit, self.least = unit, least

    def sentence(self, finding: Finding, complete: Score, without: Score, overall: Difference, own: Gains) -> str:
        """The answer to the first question."""
        full, none = self.score(complete), self.score(without)
        told = f"the complete network reaches {full}, one without memory {none} ({self.gain(overall)})"
        match finding:
            case "untrained":
                return (
                    f"No statement: neither the complete network ({full}) nor the one without memory ({none}) is "
                    "clearly above chance. Train longer, or take another neuron."
                )
            case "undecided":
                return f"Not decided: {told}. More seeds, a longer training or more test data would tell."
            case "step":
                return f"No: the last step alone holds the answer; {told}."
            case "pooling":
                return (
                    "No: a bag of frames suffices, classified one by one without memory and pooled by the "
                    f"readout; {told}."
                )
            case "both":
                why = "Carrying the state helps, and credit through time helps further"
            case "credit":
                why = "It takes credit through time: carrying the state without it brings no gain that is sure"
            case "state":
                why = "Carrying the state brings it; credit through time adds " + (
                    "no gain that is sure" if own.credit is None or own.credit.kind(self.least) == "open"
                    else "nothing that counts"
                )  # fmt: skip
            case _:
                why = "Whether by carrying the state or by credit through time, the intervals do not tell"
        return f"Yes: {told}. {why}."

    def readout(self, gains: Gains) -> str:
        """The two gains of a readout."""
        parts = [
            f"{what} {self.gain(g)}, {self.meaning(g)}"
            for what, g in (("carrying the state brings", gains.state), ("temporal credit", gains.credit))
            if g is not None
        ]
        told = "; ".join(parts) or "runs failed, so that nothing can be compared"
        return f"Read by {spoken(gains.readout)}: {told}."

    def horizon(self, curve: Curve) -> str:
        """How long."""
        what = "credit" if curve.kind == "credit" else "memory"
        found = horizon(curve, self.least)
        where = f"read by {spoken(curve.readout)}"
        if found is None:
            return f"The {what} curve, {where}, shows no gain that is sure, so no horizon."
        whole = curve.points[-1].reach
        few = "1 is too few" if found.short == 1 else f"{found.short} are too few"
        if found.reach == whole:
            return f"Horizon of {what}, {where}: all {whole} steps; {few} for 90 % of the gain."
        return f"Horizon of {what}, {where}: {found.reach} of {whole} steps are enough for 90 % of the gain, {few}."

    def reminders(self, scores: Sequence[Score], finding: Finding) -> list[str]:
        """What the numbers do not say."""
        kinds = {s.readout for s in scores}
        said = []
        pooled = [s for s in scores if s.mode == "notd" and s.readout in POOLING and s.test is not None]
        if pooled:
            top = max(pooled, key=lambda s: s.validation or 0.0)
            said.append(
                f"A {top.readout} over time is itself temporal pooling: what NoTD reaches with it, {self.score(top)}, "
                "shows that a bag of frames carries so much, not that time is absent from the data."
            )
        elif kinds == {"last"}:
            said.append(
                "Only the last step was read: where the readout pools over time (--readouts mean,last), "
                "a network without memory may do better."
            )
        late = [f"{NAMES[s.mode]} ({s.readout})" for s in scores if s.late]
        if late:
            said.append(
                f"Best in the last tenth of training: {', '.join(late)}. Longer training may move them (--epochs), "
                "and a gain may be one of learning sooner."
            )
        if any(s.test is not None and s.test.n == 1 for s in scores):
            said.append(
                "One seed: the intervals know the test sequences alone, not how much training varies (--seeds 3)."
            )
        return said

    def score(self, score: Score) -> str:
        """Its mean over seeds, with the readout."""
        assert score.test is not None
        return f"{quantities.score(score.test.mean, None, self.unit)} ({score.readout})"

    def gain(self, gain: Difference) -> str:
        """``+3.1 points [+0.4, +5.8]``."""
        scale, places, name = (100, 1, "points") if self.fraction else (1, 3, "nats")
        mean, low, high = (f"{scale * v:+.{places}f}".replace("-", "−") for v in (gain.mean, gain.low, gain.high))
        return f"{mean} {name} [{low}, {high}]"

    def meaning(self, gain: Difference) -> str:
        """The kind of a gain."""
        return {
            "gain": "a gain", "loss": "a loss", "none": "too little to count", "open": "not sure",
        }[gain.kind(self.least)]  # fmt: skip


def spoken(readout: str) -> str:
    """A kind of readout as people say it."""
    return {"last": "the last step", "every": "every step", "leaky": "a leaky sum over time"}.get(
        readout, f"the {readout} over time"
    )


def gain_text(gain: Difference | None, unit: str) -> str:
    """A gain for tables."""
    return quantities.MISSING if gain is None else _Words(unit, LEAST).gain(gain)
