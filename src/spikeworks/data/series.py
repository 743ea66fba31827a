"""Labelled multivariate series in one CSV file: a row is one time step of one case.

A header names the columns. One column says which case the row belongs to, one gives the label
of that case (the same in all its rows), one may give the time; every other column is a channel.
Rows of a case stand in time order, or are sorted by the time column; the rows of several cases
may be interleaved. Cases may differ in length. Comma, semicolon and tab are recognised.

Legend: ``T`` time steps, ``C`` channels.
"""

from __future__ import annotations

import csv
import dataclasses
import datetime
import difflib
import math
from collections.abc import Iterator
from pathlib import Path

import torch
from torch import Tensor

from ..core.errors import DataError


@dataclasses.dataclass(frozen=True)
class Series:
    """Cases in the order in which their ids first appear.

    Attributes:
        ids: name of each case.
        labels: label of each case, as text.
        rows: the steps of all cases one after another, float64 ``[sum of lengths, C]``.
        lengths: steps of each case, int64.
        channels: names of the columns in ``rows``.
    """

    ids: tuple[str, ...]
    labels: tuple[str, ...]
    rows: Tensor
    lengths: Tensor
    channels: tuple[str, ...]


@dataclasses.dataclass
class _Case:
    label: str
    line: int
    times: list[float] = dataclasses.field(default_factory=list)
    rows: list[list[float]] = dataclasses.field(default_factory=list)


def read_series(path: str | Path, label: str, case: str, time: str | None = None) -> Series:
    """Read a CSV file.

    Args:
        path: the file, UTF-8.
        label: column of the label.
        case: column of the case's id.
        time: column to sort by, if any: numbers, or dates in ISO 8601 form; it is no channel.

    Raises:
        DataError: the file cannot be read or has no rows; a column is missing (the message gives
            the nearest names); a row has too few or too many cells; a cell is empty, NaN, infinite
            or no number; a case has two labels or one time twice (line and column are named).
    """
    path = Path(path)
    lines = _lines(path)
    _, header = next(lines, (0, []))
    header = [name.strip() for name in header]
    if not header:
        raise DataError(f"{path} is empty: expected a header and one row for each time step.")
    twice = sorted({name for name in header if header.count(name) > 1})
    if twice:
        raise DataError(f"{path}: column name {twice[0]!r} stands in the header more than once.")
    given = {"label": label, "id": case} | ({} if time is None else {"time": time})
    for role, name in given.items():
        if name not in header:
            close = difflib.get_close_matches(name, header, n=3, cutoff=0.5)
            meant = f" Did you mean {' or '.join(map(repr, close))}?" if close else ""
            raise DataError(
                f"{path} has no column {name!r} for the {role}.{meant} Columns: {', '.join(header)}.",
                f"choose another with --{role}-column",
            )
    if len(set(given.values())) < len(given):
        raise DataError(f"{path}: label, id and time must be different columns, got {given}.")
    channels = [name for name in header if name not in given.values()]
    if not channels:
        raise DataError(f"{path} has no signal: every column is label, id or time.")
    cases = _collect(path, lines, header, label, case, time)
    if not cases:
        raise DataError(f"{path} has a header but no rows: a sequence of zero length.")
    return Series(
        ids=tuple(cases),
        labels=tuple(one.label for one in cases.values()),
        rows=torch.tensor([row for one in cases.values() for row in _in_order(path, one, time)], dtype=torch.float64),
        lengths=torch.tensor([len(one.rows) for one in cases.values()], dtype=torch.int64),
        channels=tuple(channels),
    )


def _lines(path: Path) -> Iterator[tuple[int, list[str]]]:
    """Line number and cells of every line that is not blank."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as handle:
            first = handle.readline()
            handle.seek(0)
            delimiter = max(",;\t", key=first.count)
            reader = csv.reader(handle, delimiter=delimiter)
            for cells in reader:
                if any(cell.strip() for cell in cells):
                    yield reader.line_num, cells
    except OSError as error:
        raise DataError(f"Cannot read {path}: {error.strerror or error}.") from error
    except UnicodeDecodeError as error:
        raise DataError(
            f"{path} is not UTF-8 text: {error.reason} at byte {error.start}.", "save it as UTF-8"
        ) from error
    except csv.Error as error:
        raise DataError(f"{path} is no CSV file: {error}.") from error


def _collect(
    path: Path, lines: Iterator[tuple[int, list[str]]], header: list[str], label: str, case: str, time: str | None
) -> dict[str, _Case]:
    at_label, at_case = header.index(label), header.index(case)
    at_time = None if time is None else header.index(time)
    signal = [i for i in range(len(header)) if i not in (at_label, at_case, at_time)]
    cases: dict[str, _Case] = {}
    for line, cells in lines:
        if len(cells) != len(header):
            raise DataError(f"{path}, line {line}: expected {len(header)} cells, got {len(cells)}.")
        name, value = cells[at_case].strip(), cells[at_label].strip()
        for column, text in ((case, name), (label, value)):
            if _is_missing(text):
                raise DataError(f"{path}, line {line}, column {column!r}: expected a name, got {text!r}.")
        known = cases.setdefault(name, _Case(value, line))
        if known.label != value:
            raise DataError(
                f"{path}: case {name!r} has two labels, {known.label!r} in line {known.line} "
                f"and {value!r} in line {line}.",
                "a case is one sequence with one label; give the stretches of each label ids of their own",
            )
        known.rows.append([_number(path, line, header[i], cells[i]) for i in signal])
        if at_time is not None:
            known.times.append(_moment(path, line, header[at_time], cells[at_time]))
    return cases


def _in_order(path: Path, case: _Case, time: str | None) -> list[list[float]]:
    if time is None:
        return case.rows
    if len(set(case.times)) < len(case.times):
        first = next(t for i, t in enumerate(case.times) if t in case.times[:i])
        raise DataError(f"{path}: the case that begins in line {case.line} has {time} = {first:g} more than once.")
    order = sorted(range(len(case.times)), key=case.times.__getitem__)
    return [case.rows[i] for i in order]


def _is_missing(text: str) -> bool:
    return text.lower() in ("", "nan", "na", "n/a", "null", "none", "?")


def _moment(path: Path, line: int, column: str, text: str) -> float:
    try:
        return float(datetime.datetime.fromisoformat(text.strip()).timestamp()) if "-" in text[1:] else float(text)
    except ValueError:
        return _number(path, line, column, text)


def _number(path: Path, line: int, column: str, text: str) -> float:
    text = text.strip()
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if math.isfinite(value):
        return value
    what = f"a missing value ({text!r})" if _is_missing(text) else repr(text)
    raise DataError(
        f"{path}, line {line}, column {column!r}: expected a finite number, got {what}.",
        "fill gaps before training, remove the row, or leave out the column",
    )
