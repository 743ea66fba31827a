"""SQL over results: the runs of a folder as tables in memory, for DuckDB.

``runs`` has a row for each run, ``epochs`` one for each finished epoch of each. Scores are in the unit of the metric
(accuracies from 0 to 1), energies in nJ per inference, memory in bytes, times in seconds. The tables are copies and
queries only read: nothing in the folder can change, and no other file is opened.
"""

from __future__ import annotations

import csv
import dataclasses
import io
import json
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, get_args

from ..core.errors import ConfigError, UnknownName
from .clock import clocks_of_run
from .site_links import model_of
from .store import RunRecord, load_runs
from .summary import number, summarize

Format = Literal["table", "csv", "json", "markdown"]

RUNS = {
    "task": "VARCHAR", "label": "VARCHAR", "neuron": "VARCHAR", "network": "VARCHAR", "method": "VARCHAR",
    "seed": "BIGINT", "protocol": "VARCHAR", "status": "VARCHAR", "metric": "VARCHAR", "higher_is_better": "BOOLEAN",
    "score": "DOUBLE", "validation": "DOUBLE", "chosen_epoch": "BIGINT", "epochs": "BIGINT", "parameters": "BIGINT",
    "seconds": "DOUBLE", "train_rate": "DOUBLE", "inference_rate": "DOUBLE", "memory": "DOUBLE", "alive": "DOUBLE",
    "energy": "DOUBLE", "energy_convention": "DOUBLE", "spike_rate": "DOUBLE", "clock": "BOOLEAN",
    "problem": "VARCHAR", "started": "VARCHAR", "commit": "VARCHAR", "machine": "VARCHAR", "id": "VARCHAR",
    "path": "VARCHAR", "config": "JSON",
}  # fmt: skip
"""Columns of ``runs`` and their types; ``energy`` is that of the memory-aware model."""
EPOCHS = {
    "task": "VARCHAR", "label": "VARCHAR", "seed": "BIGINT", "epoch": "BIGINT", "step": "BIGINT",
    "train_loss": "DOUBLE", "train_score": "DOUBLE", "validation_loss": "DOUBLE", "validation_score": "DOUBLE",
    "learning_rate": "DOUBLE", "seconds": "DOUBLE", "id": "VARCHAR", "path": "VARCHAR",
}  # fmt: skip
"""Columns of ``epochs``; ``id`` and ``path`` are those of ``runs``."""


@dataclasses.dataclass(frozen=True)
class Answer:
    """The result of a query.

    Example:
        >>> print(Answer(("task", "n"), (("ptb", 2),)).shown("csv"), end="")
        task,n
        ptb,2
    """

    columns: tuple[str, ...]
    rows: tuple[tuple[Any, ...], ...]

    def shown(self, form: str = "csv") -> str:
        """As ``csv``, ``json`` (a list of objects) or a ``markdown`` table.

        Raises:
            UnknownName: no such form.
        """
        if form == "csv":
            text = io.StringIO()
            writer = csv.writer(text, lineterminator="\n")
            writer.writerow(self.columns)
            writer.writerows(self.rows)
            return text.getvalue()
        if form == "json":
            rows = [dict(zip(self.columns, row, strict=True)) for row in self.rows]
            return json.dumps(rows, indent=2, default=str, ensure_ascii=False) + "\n"
        if form == "markdown":
            cells = [[_markdown(cell(value)) for value in row] for row in (self.columns, *self.rows)]
            lines = ["| " + " | ".join(row) + " |" for row in cells]
            return "\n".join([lines[0], "|" + "---|" * len(self.columns), *lines[1:]]) + "\n"
        raise UnknownName("format", form, get_args(Format))


def query(sql: str, root: str | Path = "runs") -> Answer:
    """Ask the runs below a folder.

    Args:
        sql: one statement that only reads, in DuckDB's dialect, over ``runs`` and ``epochs``.
        root: folder of all runs.

    Raises:
        ConfigError: the statement is wrong or does more than read, or DuckDB is not installed.
        RunError: there is no run.

    Example:
        >>> query("select task, label, avg(score) from runs group by all", "runs")  # doctest: +SKIP
        Answer(columns=('task', 'label', 'avg(score)'), rows=(('seq-digits', 'lif', 0.61),))
    """
    duckdb = _duckdb()
    records = load_runs(root)
    connection = duckdb.connect(":memory:")
    try:
        _check_reads(duckdb, connection, sql)
        _fill(connection, "runs", RUNS, [_run_row(record) for record in records])
        _fill(connection, "epochs", EPOCHS, [row for record in records for row in _epoch_rows(record)])
        connection.execute("SET enable_external_access = false")
        connection.execute("SET lock_configuration = true")
        try:
            cursor = connection.execute(sql)
            columns = tuple(column[0] for column in cursor.description or ())
            return Answer(columns, tuple(cursor.fetchall()))
        except duckdb.Error as error:
            raise _wrong(error) from None
    finally:
        connection.close()


def schema() -> str:
    """The tables and their columns, for help."""
    lines = []
    for name, columns in (("runs", RUNS), ("epochs", EPOCHS)):
        lines += [name, *(f"  {column:<18} {kind}" for column, kind in columns.items())]
    return "\n".join(lines)


def cell(value: Any) -> str:
    """One value as people read it: short numbers, nothing for NULL."""
    if value is None:
        return ""
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def _duckdb() -> Any:
    try:
        import duckdb
    except ImportError:
        raise ConfigError("A query needs DuckDB.", "pip install 'spikeworks[arena]'") from None
    return duckdb


def _check_reads(duckdb: Any, connection: Any, sql: str) -> None:
    try:
        statements = connection.extract_statements(sql)
    except duckdb.Error as error:
        raise _wrong(error) from None
    kinds = [statement.type for statement in statements]
    reading = (duckdb.StatementType.SELECT, duckdb.StatementType.EXPLAIN)
    if len(kinds) != 1 or kinds[0] not in reading:
        found = ", ".join(kind.name for kind in kinds) or "nothing"
        raise ConfigError(
            f"A query is one statement that only reads, got {found}.", "for instance: select * from runs limit 5"
        )


def _wrong(error: Exception) -> ConfigError:
    lines = [line for line in str(error).splitlines() if line.strip()]
    return ConfigError("The query cannot be answered: " + "\n".join(lines), "spikeworks query shows all columns")


def _fill(connection: Any, name: str, columns: dict[str, str], rows: Sequence[dict[str, Any]]) -> None:
    """One table, read from a temporary file: much faster than row by row."""
    kinds = ", ".join(f"'{column}': '{kind}'" for column, kind in columns.items())
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "rows.json"
        path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8", errors="replace")
        source = str(path).replace("'", "''")
        read = f"read_json('{source}', format = 'newline_delimited', columns = {{{kinds}}})"
        declared = ", ".join(f'"{column}" {kind}' for column, kind in columns.items())
        connection.execute(f'CREATE TABLE "{name}" ({declared})')
        if rows:
            connection.execute(f'INSERT INTO "{name}" SELECT * FROM {read}')


def _run_row(record: RunRecord) -> dict[str, Any]:
    row = summarize([record])[0]
    config, result, machine = record.config, record.result, record.environment.get("machine")
    task, model, method = (_part(config, key) for key in ("task", "model", "method"))

    def mean(value: Any) -> float | None:
        return None if value is None else value.mean

    chosen, parameters = number(result, "score", "chosen_epoch"), number(result, "parameters")
    found = {
        "task": record.task,
        "label": record.label,
        "neuron": model_of(record),
        "network": model.get("kind"),
        "method": method.get("kind"),
        "seed": record.seed,
        "protocol": task.get("protocol"),
        "status": record.status,
        "metric": row.metric.name if row.metric else None,
        "higher_is_better": row.metric.higher_is_better if row.metric else None,
        "score": mean(row.score),
        "validation": mean(row.validation),
        "chosen_epoch": None if chosen is None else int(chosen),
        "epochs": len(record.metrics),
        "parameters": None if parameters is None else int(parameters),
        "seconds": mean(row.train_seconds),
        "train_rate": mean(row.train_rate),
        "inference_rate": mean(row.inference_rate),
        "memory": mean(row.saved_bytes),
        "alive": mean(row.live_bytes),
        "energy": mean(row.energy_memory),
        "energy_convention": mean(row.energy_convention),
        "spike_rate": mean(row.spike_rate),
        "clock": bool(clocks_of_run(record)),
        "problem": record.problem,
        "started": _text(record.environment.get("started")),
        "commit": _text(record.environment.get("commit")),
        "machine": _text(machine.get("cpu")) if isinstance(machine, dict) else None,
        "id": record.id,
        "path": str(record.path),
        "config": config,
    }
    assert found.keys() == RUNS.keys()
    return found


def _part(config: dict[str, Any], key: str) -> dict[str, Any]:
    part = config.get(key)
    return part if isinstance(part, dict) else {}


def _epoch_rows(record: RunRecord) -> list[dict[str, Any]]:
    own = {"task": record.task, "label": record.label, "seed": record.seed, "id": record.id, "path": str(record.path)}
    whole = ("epoch", "step")
    rows = []
    for line in record.metrics:
        values = {key: number(line, key) for key in EPOCHS if key not in own}
        values |= {key: int(value) for key in whole if (value := values[key]) is not None}
        rows.append({**own, **values})
    return rows


def _text(value: Any) -> str | None:
    return None if value is None else str(value)


def _markdown(text: str) -> str:
    return " ".join(text.replace("|", "\\|").split())
