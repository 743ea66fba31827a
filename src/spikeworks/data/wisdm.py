"""WISDM smartphone and smartwatch activities: text, a sample a line, 20 Hz, 51 subjects, 18 activities.

Weiss, Yoneda and Hayajneh 2019 (UCI data set 507). Only the gyroscope of the watch is read:
``raw/watch/gyro/data_<subject>_gyro_watch.txt`` with lines such as

``1600,A,90426708196641,7.091625,-0.5916671,8.195502;``

that is subject, activity, clock, x, y, z and a closing semicolon. The recordings of the
activities follow each other.
"""

from __future__ import annotations

import dataclasses
import itertools
import math
import statistics
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from ..core.errors import ConfigError, DataError
from .files import FileSet, WantedFile, locate

SUBJECTS = tuple(range(1600, 1651))
RATE = 20.0
CODES = "ABCDEFGHIJKLMOPQRS"
"""Codes of the activities in the order of their class ids; there is no N."""
ACTIVITIES = (
    "walking",
    "jogging",
    "stairs",
    "sitting",
    "standing",
    "typing",
    "brushing teeth",
    "eating soup",
    "eating chips",
    "eating pasta",
    "drinking",
    "eating a sandwich",
    "kicking",
    "catching",
    "dribbling",
    "writing",
    "clapping",
    "folding clothes",
)

WISDM = FileSet(
    name="wisdm-dataset",
    title="WISDM activities, gyroscope of the watch",
    files=tuple(WantedFile(f"raw/watch/gyro/data_{subject}_gyro_watch.txt") for subject in SUBJECTS),
    layout="raw/watch/gyro/data_{1600-1650}_gyro_watch.txt, 51 files",
    folders=("wisdm-dataset/wisdm-dataset", "wisdm/wisdm-dataset", "wisdm", "."),
    advice="UCI data set 507, 'WISDM Smartphone and Smartwatch Activity and Biometrics'; unpack its inner archive too",
)

_CLASS = {code: number for number, code in enumerate(CODES)}
_TICKS = (1e9, 1e6, 1e3)  # a clock of nanoseconds, microseconds or milliseconds


@dataclasses.dataclass(frozen=True)
class WisdmRecording:
    """One file.

    Attributes:
        name: the file's name.
        subject: 1600 to 1650.
        labels: class id of each sample, int64 ``[L]``.
        rows: angular velocity about x, y and z, float64 ``[L, 3]``.
    """

    name: str
    subject: int
    labels: Tensor
    rows: Tensor


def load_wisdm(root: str | Path | None, subjects: Sequence[int] | None = None) -> list[WisdmRecording]:
    """The recordings, one a subject, in the order of the subjects' numbers.

    Args:
        root: the data directory.
        subjects: only these; ``None``: all 51.

    Raises:
        ConfigError: a subject that there is not, or one that is named twice.
        DataError: files missing or damaged; see :func:`read_wisdm`.
    """
    chosen = sorted(SUBJECTS if subjects is None else subjects)
    if not set(chosen) <= set(SUBJECTS) or len(set(chosen)) < len(chosen):
        raise ConfigError(f"WISDM: subjects are distinct numbers from {SUBJECTS[0]} to {SUBJECTS[-1]}, got {chosen}.")
    files = tuple(WISDM.files[subject - SUBJECTS[0]] for subject in chosen)
    paths = locate(dataclasses.replace(WISDM, files=files), root)
    return [read_wisdm(paths[file.name], subject) for file, subject in zip(files, chosen, strict=True)]


def read_wisdm(path: str | Path, subject: int) -> WisdmRecording:
    """One file; blank lines are passed over.

    Args:
        path: the file.
        subject: the number that every line must carry.

    Raises:
        DataError: the file cannot be read or is empty; a line has no closing semicolon, too few or
            too many fields, another subject, an unknown activity, or a value that is no finite
            number (the message names the first such line, what is wrong with it, and how many lines
            are fine); or the clock says a rate that is off by more than a factor of two.
    """
    path = Path(path)
    try:
        lines = path.read_text(encoding="utf-8").split("\n")
    except OSError as error:
        raise DataError(f"Cannot read {path}: {error.strerror or error}.") from error
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is no text file: {error.reason} at byte {error.start}.", "get it again") from error
    labels: list[int] = []
    ticks: list[int] = []
    rows: list[tuple[float, float, float]] = []
    faults: list[tuple[int, str]] = []
    for number, line in enumerate(lines, start=1):
        if not (line := line.strip()):
            continue
        try:
            label, tick, row = _parse(line, subject)
        except ValueError as error:
            faults.append((number, str(error)))
            continue
        labels.append(label)
        ticks.append(tick)
        rows.append(row)
    if faults:
        raise DataError(
            f"{path}, line {faults[0][0]}: {faults[0][1]}. {len(faults)} of {len(faults) + len(rows)} lines are "
            f"damaged, {len(rows)} are fine.",
            "get the file again, or remove these lines",
        )
    if not rows:
        raise DataError(f"{path} holds no samples: expected a line for each.", "get the file again")
    _check_rate(path, ticks)
    return WisdmRecording(path.name, subject, torch.tensor(labels), torch.tensor(rows, dtype=torch.float64))


def _parse(line: str, subject: int) -> tuple[int, int, tuple[float, float, float]]:
    """Class id, clock and signal of a line; ValueError with the reason."""
    if not line.endswith(";"):
        raise ValueError(f"expected a closing semicolon, got {line[-20:]!r}; the line is cut off or not of this format")
    fields = line[:-1].split(",")
    if len(fields) != 6:
        raise ValueError(f"expected 6 fields (subject, activity, clock, x, y, z), got {len(fields)}")
    who, code, clock, *signal = (field.strip() for field in fields)
    if who != str(subject):
        raise ValueError(f"expected subject {subject}, got {who!r}")
    if code not in _CLASS:
        raise ValueError(f"activity code {code!r} is unknown; expected one of {CODES}")
    if not clock.isdecimal():
        raise ValueError(f"expected the clock as a whole number, got {clock!r}")
    x, y, z = (_finite(axis, text) for axis, text in zip("xyz", signal, strict=True))
    return _CLASS[code], int(clock), (x, y, z)


def _finite(axis: str, text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise ValueError(f"expected a finite number for {axis}, got {text!r}")
    return value


def _check_rate(path: Path, ticks: list[int]) -> None:
    """The unit of the clock is not documented reliably, so that a rate holds in any of three units."""
    gaps = [later - earlier for earlier, later in itertools.pairwise(ticks) if later > earlier]
    if not gaps:
        return
    gap = statistics.median(gaps)
    if not any(0.5 <= gap * RATE / unit <= 2 for unit in _TICKS):
        raise DataError(
            f"{path}: the clock advances by {gap:g} from sample to sample; at {RATE:g} Hz that would be "
            f"{_TICKS[0] / RATE:g} in nanoseconds.",
            f"resample the recording to {RATE:g} Hz",
        )
