"""The pages of a site as text: the index, and one a task, a neuron and a run."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from ..core import quantities
from ..core.errors import SpikeworksError
from ..tasks import TASKS, Figure
from . import costs, figures
from .board_figure import clipped, intervals
from .clock import clocks_of_run
from .config import RunConfig
from .headline import headline
from .leaderboard import Board, Entry, gaps
from .page import render_page
from .report import plain_text
from .run_figure import loss_curve, score_curve
from .site_links import Site, clocks_in, model_of, model_page, portrait_page, run_page, task_page
from .store import RunRecord
from .summary import Row, number, summarize
from .svg import Style, styles
from .table import columns, score_text

MOST_DRAWN = 10
"""Models in a figure of curves: more cannot be told apart."""
_ON_A_CARD = 8
_OWN_COLUMNS = ("score", "seeds")
_OF_A_NEURON = ("parameters", "energy_memory", "spike_rate", "train_seconds", "saved_bytes")


def index_page(site: Site) -> str:
    """The first page: every task with its leader, and every neuron on every task."""
    finished = sum(record.finished for record in site.records)
    counts = [(len(site.tasks), "tasks"), (len(site.named), "models"), (finished, "finished runs")]
    failed = [record for record in site.records if not record.finished]
    shown = [board for board in site.boards if board.entries]
    return render_page(
        "site_index.html.j2",
        **_frame(site, f"{len(site.named)} models on {len(site.tasks)} tasks", "", []),
        counts=counts,
        tasks=[_card(site, number, board) for number, board in enumerate(site.boards)],
        columns=[{"title": board.title, "link": _link(board), "metric": _metric(board)} for board in shown],
        table=sorted((_matrix_row(*each, shown) for each in site.named.items()), key=lambda row: -row["mean"]),
        failed=[
            {
                "link": run_page(record),
                "name": f"{record.label}, seed {record.seed}",
                "task": record.task,
                "status": record.status,
                "problem": record.problem,
            }
            for record in failed
        ],
    )


def task_page_text(site: Site, task: str) -> str:
    """The page of a task: a leader board for each of its settings."""
    found = site.of_task(task)
    published, metric = _published(found)
    return render_page(
        "site_task.html.j2",
        **_frame(site, task, "../", [("tasks", "index.html#tasks"), (task, None)]),
        about=_about(task),
        boards=[_board(site, f"board{number}", board) for number, board in enumerate(found)],
        gaps=[
            {
                "label": gap.label,
                "paper": _score(gap.paper, gap.metric.unit),
                "paper_value": gap.paper,
                "clean": _score(gap.clean, gap.metric.unit),
                "clean_value": gap.clean,
                "gain": _signed(gap.gain, gap.metric.unit),
                "gain_value": gap.gain,
            }
            for gap in gaps(found)
        ],
        published=published,
        published_metric=metric,
    )


def model_page_text(site: Site, model: str) -> str:
    """The page of a neuron or network: its figures on all tasks."""
    from ..neurons import NEURONS

    rows = []
    for board in site.boards:
        entries: Mapping[int, Entry] = {id(entry.row): entry for entry in board.entries}
        for row in board.rows:
            if model_of((*row.records, *row.failed)[0]) == model:
                cells = [c for c in columns(board.rows) if c.key in _OF_A_NEURON]
                rows.append(
                    {
                        **_entry(board, row, entries.get(id(row))),
                        "task": board.title,
                        "task_link": _link(board),
                        "of": len(board.entries),
                        "cells": [(c.value(row), c.text(row)) for c in sorted(cells, key=_position)],
                    }
                )
    heads = [c.head for c in sorted(columns(site.boards[0].rows), key=_position) if c.key in _OF_A_NEURON]
    about, facts = _neuron_facts(model) if model in NEURONS else (None, [])
    return render_page(
        "site_neuron.html.j2",
        **_frame(site, model, "../", [("models", "index.html#models"), (model, None)]),
        about=about,
        facts=facts,
        clock=clocks_in([record for record in site.records if model_of(record) == model]),
        portrait=portrait_page(model) if model in site.portraits else None,
        heads=heads,
        rows=rows,
    )


def run_page_text(site: Site, record: RunRecord) -> str:
    """The page of a run: how it went, what was measured, and everything that is needed to repeat it."""
    row = summarize([record])[0]
    look = styles([row.label])[row.label]
    pictures = [
        (
            "Score",
            "Validation chose the epoch of the dashed line; its weights were tested.",
            score_curve(record, "score"),
        ),
        ("Loss", "Mean over all targets.", loss_curve(record, "loss")),
        ("Spikes of one test sample", "The input on top, below it the spikes of each block.", _raster(record, look)),
        ("Energy by layer", "Memory-aware model.", costs.energy_bars([row], {row.label: look}, "layers")),
    ]
    shown = [c for c in columns([row]) if c.key not in (*_OWN_COLUMNS, "pareto")]
    seed = "" if record.seed is None else f", seed {record.seed}"
    up = "../" * run_page(record).count("/")
    trail = [(record.task, task_page(record.task)), (model_of(record), model_page(model_of(record))), (record.id, None)]
    return render_page(
        "site_run.html.j2",
        **_frame(site, f"{record.label} on {record.task}{seed}", up, trail),
        status=record.status,
        problem=record.problem,
        clock="; ".join(clocks_of_run(record)),
        numbers=_run_numbers(record, row),
        pictures=[(name, note, svg) for name, note, svg in pictures if svg is not None],
        facts=[
            ("status", record.status),
            *((c.head, c.text(row)) for c in shown if record.finished),
            *((f"kernel {name}", text) for name, text in _kernels(record)),
            ("run", record.id),
            *_submission(record),
        ],
        trained_by=record.environment.get("command"),
        environment=list(environment_facts(record.environment)),
        config=json.dumps(record.config, indent=2, sort_keys=True, ensure_ascii=False),
    )


def environment_facts(environment: Mapping[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    """Machine, versions and commit as names and texts; the command stands elsewhere."""
    facts = []
    for key, value in environment.items():
        name = f"{prefix}{key}".replace("_", " ")
        if isinstance(value, Mapping):
            facts += environment_facts(value, f"{name} ")
        elif key != "command" and (text := plain_text(value, key)):
            facts.append(("uncommitted changes" if key == "modified" else name.removesuffix(" bytes"), text))
    return facts


def _frame(site: Site, title: str, up: str, trail: list[tuple[str, str | None]]) -> dict[str, Any]:
    return {"title": title, "up": up, "trail": trail, "command": site.command}


def _link(board: Board) -> str:
    return task_page(board.task)


def _metric(board: Board) -> str:
    return f"{board.metric.name} {'↑' if board.metric.higher_is_better else '↓'}"


def _about(task: str) -> str | None:
    """One line on a registered task."""
    return TASKS.get(task).info.summary if task in TASKS else None


def _card(site: Site, index: int, board: Board) -> dict[str, Any]:
    return {
        "title": board.title,
        "link": _link(board),
        "about": _about(board.task),
        "lead": headline(board.rows).lead,
        "svg": intervals(board, site.look, f"card{index}", _ON_A_CARD),
    }


def _matrix_row(name: str, runs: Sequence[RunRecord], shown: Sequence[Board]) -> dict[str, Any]:
    cells = []
    for board in shown:
        own = [entry for entry in board.entries if entry.row.records[0].label == name]
        best = min(own, key=lambda entry: entry.place) if own else None
        score = best.row.score if best is not None else None
        cells.append(
            {
                "text": quantities.MISSING if best is None else score_text(best.row),
                "value": "" if score is None else score.mean,
                "place": None if best is None else best.place,
                "strength": None if best is None else round(1 - (best.place - 1) / max(1, len(board.entries) - 1), 3),
            }
        )
    strengths = [cell["strength"] for cell in cells if cell["strength"] is not None]
    return {
        "name": name,
        "link": model_page(model_of(runs[0])),
        "clock": clocks_in(runs),
        "cells": cells,
        "mean": sum(strengths) / len(strengths) if strengths else -1.0,
    }


def _board(site: Site, key: str, board: Board) -> dict[str, Any]:
    words = headline(board.rows)
    drawn = [entry.row for entry in board.entries[:MOST_DRAWN]]
    shown = [column for column in columns(board.rows) if column.key not in _OWN_COLUMNS]
    entries: Mapping[int, Entry] = {id(entry.row): entry for entry in board.entries}
    machines = {json.dumps(r.environment.get("machine"), sort_keys=True) for row in drawn for r in row.records}
    return {
        "key": key,
        "title": board.title,
        "protocol": board.protocol,
        "metric": _metric(board),
        "lead": words.lead,
        "rest": " ".join(words.rest),
        "machines": len(machines),
        "svg": intervals(board, site.look, f"{key}-intervals"),
        "columns": shown,
        "rows": [
            {
                **_entry(board, row, entries.get(id(row))),
                "color": site.look[row.label].index if row.score is not None else None,
                "link": model_page(model_of((*row.records, *row.failed)[0])),
                "cells": [(column.value(row), column.text(row)) for column in shown],
            }
            for row in board.rows
        ],
        "pictures": _pictures(site, drawn, key),
        "drawn": len(drawn),
        "left_out": len(board.entries) - len(drawn),
    }


def _pictures(site: Site, rows: Sequence[Row], key: str) -> list[tuple[str, str, str]]:
    reachable = "The dashed line is what is reachable at each cost."
    drawn = [
        ("Learning curves", "Validation score; a curve ends where its first seed stopped.",
         figures.learning_curves(rows, site.look, f"{key}-curves")),
        ("Score against energy", f"Memory-aware model. {reachable}",
         costs.score_against_energy(rows, site.look, f"{key}-energy")),
        ("Score against training time", reachable, costs.score_against_time(rows, site.look, f"{key}-time")),
        ("Score against memory", f"Kept for backward in an update. {reachable}",
         costs.score_against_memory(rows, site.look, f"{key}-memory")),
    ]  # fmt: skip
    return [(name, note, svg) for name, note, svg in drawn if svg is not None]


def _entry(board: Board, row: Row, entry: Entry | None) -> dict[str, Any]:
    """What tables say of a row, on a board and on the page of a neuron."""
    unit = board.metric.unit
    behind = entry.behind if entry is not None else None
    runs = sorted((*row.records, *row.failed), key=lambda r: (r.seed is None, r.seed))
    said, p_text = quantities.MISSING, quantities.MISSING
    if behind is not None:
        said = _signed(behind.difference, unit)
        if behind.low is not None and behind.high is not None:
            said += f" [{_signed(behind.low, unit)}, {_signed(behind.high, unit)}]"
        p_text = quantities.MISSING if behind.p_value is None else _p(behind.p_value)
    return {
        "label": row.label,
        "place": None if entry is None else entry.place,
        "value": "" if row.score is None else row.score.mean,
        "score": score_text(row),
        "interval": _interval(board, entry),
        "behind": said,
        "gap": "" if behind is None else abs(behind.difference),
        "p": "" if behind is None or behind.p_value is None else behind.p_value,
        "p_text": p_text,
        "even": entry is not None and entry.place > 1 and entry.leads,
        "clock": "" if entry is None else "; ".join(entry.clock),
        "runs": [("–" if r.seed is None else r.seed, run_page(r), r.status) for r in runs],
    }


def _interval(board: Board, entry: Entry | None) -> str:
    if entry is None or entry.low is None or entry.high is None:
        return quantities.MISSING
    low, high = clipped(board, entry.low, entry.high)
    return f"{_score(low, board.metric.unit)} to {_score(high, board.metric.unit)}"


def _score(value: float, unit: str) -> str:
    return quantities.score(value, None, unit)


def _signed(value: float, unit: str) -> str:
    return f"{'+' if value > 0 else '−' if value < 0 else ''}{_score(abs(value), unit)}"


def _p(value: float) -> str:
    return "< 0.001" if value < 0.001 else f"{value:.3f}"


def _position(column: Any) -> int:
    return _OF_A_NEURON.index(column.key) if column.key in _OF_A_NEURON else len(_OF_A_NEURON)


def _published(found: Sequence[Board]) -> tuple[list[tuple[str, str, str]], str]:
    """Figures of papers for the boards that stand for the published setting."""
    listed: dict[Figure, str] = {}
    for board in found:
        records = [record for row in board.rows for record in (*row.records, *row.failed)]
        try:
            task = RunConfig.from_dict(records[0].config).task.build()
        except (SpikeworksError, TypeError):  # its data or a plugin is not here
            continue
        listed |= {figure: _score(figure.value, board.metric.unit) for figure in task.published}
    metric = found[0].metric.name if found else "score"
    return [(figure.model, value, figure.source) for figure, value in listed.items()], metric


def _neuron_facts(name: str) -> tuple[str, list[tuple[str, str]]]:
    from ..neurons.describe import card

    one = card(name)
    multiply, add, special = one.costs
    return one.about, [
        ("states", one.states),
        ("trained", one.trained),
        ("a step costs", f"{multiply} multiply-adds, {add} additions and comparisons, {special} special functions"),
        ("source", one.source),
    ]


def _run_numbers(record: RunRecord, row: Row) -> list[tuple[str, str]]:
    unit = row.metric.unit if row.metric else None
    name = row.metric.name if row.metric else "score"
    chosen = number(record.result, "score", "chosen_epoch")
    listed = [
        (quantities.score(number(record.result, "score", "test"), None, unit), f"test {name}"),
        (quantities.score(number(record.result, "score", "validation"), None, unit), f"validation {name}"),
        (quantities.MISSING if chosen is None else f"{chosen:.0f} of {len(record.metrics)}", "chosen epoch"),
        (quantities.count(number(record.result, "parameters")), "parameters"),
        (quantities.energy(row.energy_memory.mean if row.energy_memory else None), "energy per inference"),
        (quantities.duration(number(record.result, "seconds")), "training"),
    ]
    return listed if record.finished else listed[2:3]


def _raster(record: RunRecord, look: Style) -> str | None:
    sample = record.sample()
    return None if sample is None else figures.raster(sample, look, "raster")


def _kernels(record: RunRecord) -> list[tuple[str, str]]:
    kernels = record.result.get("kernels")
    return [
        (str(name), " – ".join(str(kernel[key]) for key in ("backend", "reason") if kernel.get(key)))
        for name, kernel in (kernels.items() if isinstance(kernels, dict) else ())
        if isinstance(kernel, dict)
    ]


def _submission(record: RunRecord) -> list[tuple[str, str]]:
    """When a run from elsewhere was checked, and whether its score was computed anew."""
    from .submit import read_note

    note = read_note(record.path)
    if note is None:
        return []
    anew = "its score was computed anew from the weights" if note.get("scores") else "its score was not computed anew"
    return [("submitted", f"checked {note.get('checked')}; {anew}")]
