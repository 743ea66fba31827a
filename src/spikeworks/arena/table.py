"""The comparison as text: an aligned table for the terminal, and the same as Markdown.

The least important columns are dropped until the table fits the terminal, so that a narrow window
shows fewer columns instead of broken ones. Models differ in energy first, learning methods in memory.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from itertools import groupby
from typing import TYPE_CHECKING

from ..core import quantities
from .summary import Estimate, Row, compares_methods, number, summarize

if TYPE_CHECKING:
    from rich.table import Table

    from .store import RunRecord

_BEST = "★"
_LABEL = 26  # characters of a model's name in a terminal of limited width
_IMPORTANCE = (
    "score", "seeds", "energy_memory", "train_seconds", "parameters", "spike_rate", "energy_convention", "train_rate",
    "inference_rate", "saved_bytes", "pareto", "epoch_seconds", "live_bytes",
)  # fmt: skip
_OF_METHODS = (
    "score", "seeds", "saved_bytes", "epoch_seconds", "live_bytes", "pareto", "train_seconds", "energy_memory",
)  # fmt: skip
"""What stays longest in a narrow terminal; the second where rows differ in how they learned."""


@dataclasses.dataclass(frozen=True)
class Column:
    """One column: its head, what it says of a row, its explanation, and its importance (0 stays longest)."""

    key: str
    head: str
    text: Callable[[Row], str]
    value: Callable[[Row], float | None]
    about: str
    importance: int


def _mean(estimate: Estimate | None) -> float | None:
    return None if estimate is None else estimate.mean


def columns(rows: Sequence[Row]) -> list[Column]:
    """The columns of a table of these rows, from left to right, without the model's name."""
    metric = next((row.metric for row in rows if row.metric is not None), None)
    head = "score" if metric is None else f"{metric.name} {'↑' if metric.higher_is_better else '↓'}"
    methods = compares_methods(rows)
    importance: list[str] = list(dict.fromkeys((*_OF_METHODS, *_IMPORTANCE) if methods else _IMPORTANCE))
    q = quantities

    def column(key: str, head: str, pick: Callable[[Row], Estimate | None], show: Callable, about: str) -> Column:
        return Column(key, head, lambda r: show(_mean(pick(r))), lambda r: _mean(pick(r)), about, importance.index(key))

    update = _update(rows)
    memory = [
        column("saved_bytes", "memory", lambda r: r.saved_bytes, q.size,
               f"most that is kept for backward at once in {update}"),
        column("live_bytes", "alive", lambda r: r.live_bytes, q.size,
               f"most that is alive at once in {update}, beside weights, the optimiser's state and the batch"),
    ]  # fmt: skip
    return [
        Column("score", head, score_text, lambda r: _mean(r.score),
               "test score, mean ± standard deviation over seeds", importance.index("score")),
        Column("seeds", "seeds", seeds_text, lambda r: len(r.seeds), "finished seeds", importance.index("seeds")),
        *(memory if methods else ()),
        column("parameters", "params", lambda r: r.parameters, q.count, "trainable parameters"),
        column("energy_memory", "energy", lambda r: r.energy_memory, q.energy,
               "energy per inference, memory-aware model"),
        column("energy_convention", "4.6/0.9 pJ", lambda r: r.energy_convention, q.energy,
               "energy per inference, plain convention of 4.6 pJ a multiply-add and 0.9 pJ an add"),
        column("spike_rate", "spikes", lambda r: r.spike_rate, q.percent, "share of neurons and steps that spike"),
        column("train_seconds", "train time", lambda r: r.train_seconds, q.duration, "time spent training"),
        column("epoch_seconds", "an epoch", lambda r: r.epoch_seconds, q.duration,
               "time spent training for an epoch, median over the epochs of a run; validation is not counted"),
        column("train_rate", "train speed", lambda r: r.train_rate, q.rate, "training samples per second"),
        column("inference_rate", "infer speed", lambda r: r.inference_rate, q.rate, "inference samples per second"),
        *(() if methods else memory),
        Column("pareto", "pareto", lambda r: ", ".join(r.frontiers) or q.MISSING, lambda r: float(len(r.frontiers)),
               "no other model scores as well for less energy, less training time, or less memory kept for backward",
               importance.index("pareto")),
    ]  # fmt: skip


def _update(rows: Sequence[Row]) -> str:
    """An update, and of how many sequences where that is known."""
    batches = {number(record.result, "memory", "batch") for row in rows for record in row.records} - {None}
    sizes = ", ".join(f"{size:.0f}" for size in sorted(filter(None, batches)))
    return f"an update{f' of {sizes} sequences' if sizes else ''}"


def score_text(row: Row) -> str:
    """The score with its spread, or why there is none."""
    if row.score is None or row.metric is None:
        return " + ".join(sorted({record.status for record in row.failed})) or quantities.MISSING
    return quantities.score(row.score.mean, row.score.spread, row.metric.unit)


def seeds_text(row: Row) -> str:
    """Finished seeds, out of how many where some gave no score: ``2 of 3``."""
    done = len(row.seeds)
    return f"{done} of {done + len(row.failed)}" if row.failed else str(done)


def tables(rows: Sequence[Row], width: int | None = None) -> list[Table]:
    """One rich table a task, the best row highlighted.

    Args:
        rows: from :func:`spikeworks.arena.summary.summarize`.
        width: characters available; ``None`` keeps every column.
    """
    return [_table(task, list(group), width) for task, group in groupby(rows, key=lambda row: row.task)]


def to_markdown(rows: Sequence[Row]) -> str:
    """One Markdown table a task, with a heading where there are several; the best row is bold."""
    parts = []
    grouped = [(task, list(group)) for task, group in groupby(rows, key=lambda row: row.task)]
    for task, group in grouped:
        shown = columns(group)
        lines = [
            "| model | " + " | ".join(_markdown(column.head) for column in shown) + " |",
            "|---|" + "---:|" * len(shown),
        ]
        for row in group:
            cells = [_markdown(_named(row)), *(_markdown(column.text(row)) for column in shown)]
            if row.best:
                cells[:2] = [f"**{cell}**" for cell in cells[:2]]
            lines.append("| " + " | ".join(cells) + " |")
        heading = f"### {_markdown(task)}\n\n" if len(grouped) > 1 else ""
        parts.append(heading + "\n".join(lines) + "\n")
    return "\n".join(parts)


def run_table(record: RunRecord) -> Table:
    """One run in two columns: what ``spikeworks show`` prints."""
    from rich.table import Table
    from rich.text import Text

    table = Table(title=Text(record.id), show_header=False, box=None, title_justify="left", title_style="bold")
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in _facts(record):
        table.add_row(name, Text(value))
    return table


def _facts(record: RunRecord) -> list[tuple[str, str]]:
    row = summarize([record])[0]
    facts = [("task", row.task), ("model", row.label), ("seed", str(record.seed)), ("status", record.status)]
    if record.problem:
        facts.append(("problem", record.problem))
    if record.finished:
        facts += [(column.head, column.text(row)) for column in columns([row]) if column.key not in ("seeds", "pareto")]
        chosen = number(record.result, "score", "chosen_epoch")
        facts.append(("epochs", f"{len(record.metrics)}" + (f", best at {chosen:.0f}" if chosen is not None else "")))
    elif record.metrics:
        facts.append(("epochs", str(len(record.metrics))))
    for name, kernel in sorted((record.result.get("kernels") or {}).items()):
        if isinstance(kernel, dict):
            facts.append((f"kernel {name}", " – ".join(str(kernel[k]) for k in ("backend", "reason") if kernel.get(k))))
    return [*facts, ("directory", str(record.path))]


def _table(task: str, rows: list[Row], width: int | None) -> Table:
    from rich.console import Console

    shown = columns(rows)
    ruler = Console(width=10_000)
    while True:
        table = _drawn(task, rows, shown, None if width is None else _LABEL)
        if width is None or len(shown) == 1 or ruler.measure(table).maximum <= width:
            return table
        shown.remove(max(shown, key=lambda column: column.importance))


def _drawn(task: str, rows: Sequence[Row], shown: Sequence[Column], longest: int | None) -> Table:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    words = "; ".join(f"{c.head}: {c.about}" for c in shown if c.key in ("saved_bytes", "live_bytes"))
    table = Table(
        title=Text(task), title_justify="left", title_style="bold", box=box.SIMPLE_HEAD, pad_edge=False,
        caption=Text(words) if words and compares_methods(rows) else None, caption_justify="left",
    )  # fmt: skip
    table.add_column("model", no_wrap=True, overflow="ellipsis")
    for column in shown:
        table.add_column(Text(column.head), justify="right", no_wrap=True)
    for row in rows:
        label = Text(f"{_BEST if row.best else ' '} {_named(row)}")
        if longest is not None:
            label.truncate(longest, overflow="ellipsis")
        style = "bold green" if row.best else "dim" if row.score is None else None
        table.add_row(label, *(Text(column.text(row)) for column in shown), style=style)
    return table


def _named(row: Row) -> str:
    """The model's name, flagged where part of it knows the number of the step."""
    return f"{row.label} (clock)" if row.clock else row.label


def _markdown(text: str) -> str:
    """Text that stays text inside a Markdown cell."""
    for character in "\\`*_<>|[]":
        text = text.replace(character, f"&#{ord(character)};" if character in "<>|" else f"\\{character}")
    return " ".join(text.split())
