"""One self-contained HTML page about a folder of runs: nothing is loaded from elsewhere.

The page holds the headline in words, the table, learning curves, score against energy, time and
memory, spike rasters, confusion matrices, rates, energy per layer, and how all of it was measured; of
denoisers also test clips to see and to hear.
Memory comes first where learning methods are compared. The page follows the reader's light or dark
theme, fits a phone and prints.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

from ..core import quantities
from . import costs, denoising_page, figures
from .headline import headline
from .page import render_page, write_page
from .store import RunRecord, load_runs
from .summary import Row, compares_methods, summarize
from .svg import Style, styles
from .table import columns

_log = logging.getLogger(__name__)
_MACHINE = ("machine", "threads")
_ORDER = ("machine", "threads", "python", "torch", "spikeworks", "commit", "modified")


def write_report(
    root: str | Path,
    output: str | Path,
    task: str | None = None,
    command: str | None = None,
    data_root: str | Path | None = None,
) -> Path:
    """Write the report of all runs below ``root`` and return its path.

    Args:
        root: a folder of runs, the folder of one task, or one run directory.
        output: the HTML file, or an existing folder that gets ``report.html``.
        task: report on this task only.
        command: the command line that asked for the report, printed on the page.
        data_root: folder of the real data, of which denoisers show test clips; by default what ``SPIKEWORKS_DATA``
            names.

    Raises:
        RunError: ``root`` holds no run that has ended, or ``output`` cannot be written; a
            report that stood there before is untouched.

    Example:
        >>> write_report("runs", "report.html")  # doctest: +SKIP
        PosixPath('report.html')
    """
    return write_records(load_runs(root, task=task), output, command, data_root)


def write_records(
    records: Sequence[RunRecord],
    output: str | Path,
    command: str | None = None,
    data_root: str | Path | None = None,
) -> Path:
    """Write the report of chosen runs, as :func:`write_report` does of all below a folder."""
    output = write_page(render(records, command=command, data_root=data_root), output, "report.html")
    _log.info("wrote the report of %d runs to %s", len(records), output)
    return output


def render(records: Sequence[RunRecord], command: str | None = None, data_root: str | Path | None = None) -> str:
    """The page as text. Every string of a run is escaped by the template."""
    rows = summarize(records)
    scored = {row.label for row in rows if row.score is not None}
    look = styles(
        [*sorted(scored), *sorted({row.label for row in rows} - scored)]
    )  # the best colours for what is drawn
    grouped = [(task, list(group)) for task, group in groupby(rows, key=lambda row: row.task)]
    return render_page(
        "report.html.j2",
        title=f"{', '.join(task for task, _ in grouped)} – spikeworks",
        tasks=[_task(index, task, group, look, data_root) for index, (task, group) in enumerate(grouped)],
        models=len({row.label for row in rows}),
        finished=sum(record.finished for record in records),
        total=len(records),
        failed=[record for record in records if not record.finished],
        facts=_facts(records),
        commands=_distinct(record.environment.get("command") for record in records),
        command=command,
    )


def _task(
    index: int, task: str, rows: list[Row], look: Mapping[str, Style], data_root: str | Path | None
) -> dict[str, Any]:
    """Everything that the template shows of one task."""
    key = f"task{index}"
    denoising = denoising_page.section(rows, key, data_root)
    rasters = [panel for i, row in enumerate(rows) if (panel := _raster(row, look, f"{key}-raster{i}"))]
    return {
        "key": key,
        "name": task,
        "about": _about((*rows[0].records, *rows[0].failed)[0].task),
        "headline": headline(rows),
        "columns": columns(rows),
        "rows": [{"row": row, "color": look[row.label].index} for row in rows],
        "machines": _machines(rows),
        "loops": _loops(rows),
        "pictures": _pictures(rows, look, key),
        "layers": costs.energy_bars(rows, look, f"{key}-layers"),
        "uncounted": [row.label for row in rows if row.score is not None and row.energy_memory is None],
        "layer_tables": [(row.label, _layer_table(row)) for row in rows if costs.energy_layers(row)],
        "denoising": denoising,
        "rasters": [] if denoising and denoising["clips"] else rasters,  # the clips show spikes beside the sound
        "confusions": [panel for i, row in enumerate(rows) if (panel := _confusion(row, look, f"{key}-confusion{i}"))],
        "details": [_detail(row) for row in rows],
    }


def _pictures(rows: list[Row], look: Mapping[str, Style], key: str) -> list[tuple[str, str, str]]:
    """Title, explanation and drawing of what compares the rows, the most telling first."""
    reachable = "The dashed line is what is reachable at each cost."
    memory = [
        ("Memory of an update", "The most that is kept for backward, and the most that is alive, at once.",
         costs.memory_bars(rows, look, f"{key}-memory")),
        ("Score against memory", f"Kept for backward in an update. {reachable}",
         costs.score_against_memory(rows, look, f"{key}-kept")),
    ]  # fmt: skip
    others = [
        ("Score against energy", f"Memory-aware model. {reachable}",
         costs.score_against_energy(rows, look, f"{key}-energy")),
        ("Score against training time", reachable, costs.score_against_time(rows, look, f"{key}-time")),
        ("Learning curves", "Validation score; a curve ends where its first seed stopped.",
         figures.learning_curves(rows, look, f"{key}-curves")),
        ("Spike rates", "Share of neurons that spike in a step, per block; fewer spikes cost less energy.",
         costs.spike_rate_bars(rows, look, f"{key}-rates")),
    ]  # fmt: skip
    ordered = [*memory, *others] if compares_methods(rows) else [*others, *memory]
    return [(title, about, svg) for title, about, svg in ordered if svg is not None]


def _about(task: str) -> str | None:
    """What a registered task is and how many samples its splits hold; ``None`` for a task not known here."""
    from spikeworks.tasks import TASKS

    if task not in TASKS:
        return None
    info = TASKS.get(task).info
    sizes = [f"{size:,}" for size in info.sizes] if info.sizes else []
    splits = f"; {sizes[0]} to train, {sizes[1]} to validate, {sizes[2]} to test" if sizes else ""
    return f"{info.summary}{splits}"


def _layer_table(row: Row) -> list[tuple[str, str, str]]:
    return [
        (name, quantities.energy(plain), quantities.energy(aware)) for name, plain, aware in costs.energy_layers(row)
    ]


def _raster(row: Row, look: Mapping[str, Style], name: str) -> dict[str, Any] | None:
    """The sample of the first seed that recorded one."""
    for record in row.records:
        sample = record.sample()
        drawn = figures.raster(sample, look[row.label], name) if sample is not None else None
        if sample is not None and drawn is not None:
            classes = _classes(record)
            return {
                "label": row.label,
                "svg": drawn,
                "seed": record.seed,
                "target": _class_name(sample.target, classes),
                "predicted": _class_name(sample.predicted, classes),
                "right": sample.target == sample.predicted,
            }
    return None


def _confusion(row: Row, look: Mapping[str, Style], name: str) -> dict[str, Any] | None:
    """Counts summed over seeds."""
    import numpy as np

    total, classes = None, None
    for record in row.records:
        counts = record.result.get("confusion")
        if not isinstance(counts, list) or not counts:
            continue
        try:
            matrix = np.array(counts, dtype=np.float64)
        except (TypeError, ValueError):
            _log.warning("%s: the confusion matrix is no table of numbers", record.path)
            continue
        if (
            matrix.ndim != 2
            or matrix.shape[0] != matrix.shape[1]
            or (total is not None and total.shape != matrix.shape)
        ):
            _log.warning("%s: the confusion matrix has shape %s", record.path, matrix.shape)
            continue
        total = matrix if total is None else total + matrix
        classes = classes or _classes(record)
    if total is None or not total.any():
        return None
    names = classes if classes and len(classes) == len(total) else [str(i) for i in range(len(total))]
    return {"label": row.label, "svg": figures.confusion(total, names, look[row.label], name)}


def _classes(record: RunRecord) -> list[str] | None:
    classes = record.result.get("classes")
    return [str(name) for name in classes] if isinstance(classes, list) else None


def _class_name(index: int | None, classes: Sequence[str] | None) -> str | None:
    if index is None or classes is None or not 0 <= index < len(classes):
        return None if index is None else str(index)
    return classes[index]


def _detail(row: Row) -> dict[str, Any]:
    """The description shared by the runs of a row, and what each seed gave."""
    records = (*row.records, *row.failed)
    config = {key: value for key, value in records[0].config.items() if key != "seed"}
    runs = []
    for record in records:
        value = record.result.get("score", {}).get("test") if record.finished else None
        score = quantities.score(value, None, row.metric.unit if row.metric else None)
        runs.append((record.seed, record.status, score, len(record.metrics), record.id))
    return {
        "label": row.label,
        "config": json.dumps(config, indent=2, sort_keys=True, ensure_ascii=False),
        "runs": runs,
        "kernels": _kernels(row),
    }


def _kernels(row: Row) -> list[str]:
    """Which backend ran the neurons and why, each answer once."""
    answers = (
        f"{kernel.get('backend')} – {kernel['reason']}" if kernel.get("reason") else str(kernel.get("backend"))
        for record in row.records
        for kernel in (record.result.get("kernels") or {}).values()
        if isinstance(kernel, dict)
    )
    return _distinct(answers)


def _loops(rows: Sequence[Row]) -> list[str]:
    """Models that ran without a fused kernel: their speed is not that of the others."""
    backends = {row.label: {answer.partition(" ")[0] for answer in _kernels(row)} for row in rows}
    slow = [label for label, names in backends.items() if "loop" in names]
    return slow if any(names and "loop" not in names for names in backends.values()) else []


def _machines(rows: Sequence[Row]) -> int:
    """Number of different machines behind the rows."""
    return len({json.dumps([r.environment.get(key) for key in _MACHINE]) for row in rows for r in row.records})


def _facts(records: Sequence[RunRecord]) -> list[tuple[str, str]]:
    """What the environments of all runs say: every key with its distinct values."""
    started = sorted(str(r.environment["started"]) for r in records if r.environment.get("started"))
    keys = dict.fromkeys((*_ORDER, *(key for record in records for key in record.environment)))
    facts = []
    for key in keys:
        if key in ("command", "started"):
            continue
        values = _distinct(plain_text(record.environment.get(key), key) for record in records)
        if values:
            name = "uncommitted changes" if key == "modified" else key.replace("_", " ")
            facts.append((name, "; ".join(values)))
    seeds = sorted({record.seed for record in records if record.seed is not None})
    facts.append(("seeds", ", ".join(map(str, seeds)) or quantities.MISSING))
    if started:
        facts.append(("started", started[0] if started[0] == started[-1] else f"{started[0]} to {started[-1]}"))
    return facts


def plain_text(value: Any, key: str = "") -> str | None:
    """A fact of an environment in words; ``None`` where there is nothing to say."""
    if isinstance(value, dict):
        parts = [(name, plain_text(item, name)) for name, item in value.items()]
        return ", ".join(f"{name.replace('_', ' ').removesuffix(' bytes')} {part}" for name, part in parts if part)
    if isinstance(value, list):
        return ", ".join(part for item in value if (part := plain_text(item)))
    if isinstance(value, bool):
        return "yes" if value else "no"
    if key.endswith("_bytes") and isinstance(value, int):
        return quantities.size(value)
    return None if value is None or value == "" else str(value)


def _distinct(values: Any) -> list[str]:
    return list(dict.fromkeys(str(value) for value in values if value))
