"""ESC-10: 400 environmental sounds of ten classes in five folds, here as mono FLAC at 8 kHz.

K. J. Piczak, ACM Multimedia 2015, CC BY 3.0. Files are called ``{fold}-{source}-{take}-{class}.flac``; clips with
one ``source`` were cut from one recording and stand in one fold.
"""

from __future__ import annotations

import csv
import dataclasses
from pathlib import Path

from torch import Tensor

from ..core.errors import DataError
from .audio import read_audio
from .files import FileSet, WantedFile
from .records import read_records
from .trees import locate_tree

RATE = 8000
FOLDS = (1, 2, 3, 4, 5)

ESC10 = FileSet(
    name="esc10",
    title="ESC-10",
    files=(WantedFile("meta.csv"), WantedFile("audio/*.flac")),
    layout="meta.csv (filename,fold,target,category,…) and audio/{fold}-{source}-{take}-{class}.flac at 8 kHz",
    folders=("ESC-10",),
    advice="resample the clips of github.com/karolpiczak/ESC-10 to 8 kHz mono FLAC",
)


@dataclasses.dataclass(frozen=True)
class Clip:
    """One sound.

    Attributes:
        name: of the file.
        fold: 1 to 5.
        source: the recording it was cut from.
        target, category: class, 0 to 9, and its name.
        wave: float signal ``[samples]`` at 8 kHz.
    """

    name: str
    fold: int
    source: str
    target: int
    category: str
    wave: Tensor


def load_esc10(root: str | Path | None) -> list[Clip]:
    """All clips, by file name.

    Raises:
        DataError: files missing or damaged, or a row of ``meta.csv`` that does not fit its file.
    """
    folder, found = locate_tree(ESC10, root)
    rows = _rows(folder / "meta.csv")
    there = {path.name for path in found["audio/*.flac"]}
    absent = [row["filename"] for row in rows if row["filename"] not in there]
    if absent:
        raise DataError(
            f"{ESC10.title}: {len(absent)} of {len(rows)} clips of {folder / 'meta.csv'} are missing in "
            f"{folder / 'audio'}: {', '.join(absent[:5])}{' and more' if len(absent) > 5 else ''}."
        )
    return list(read_records(rows, lambda row: _clip(row, folder), f"{ESC10.title} clip"))


def _rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as handle:
        rows = list(csv.DictReader(handle))
    for line, row in enumerate(rows, start=2):
        if not all(row.get(column) for column in ("filename", "fold", "target", "category")):
            raise DataError(f"{path}, line {line}: expected filename, fold, target and category, got {row}.")
    if not rows:
        raise DataError(f"{path} lists no clips.")
    return sorted(rows, key=lambda row: row["filename"])


def _clip(row: dict[str, str], folder: Path) -> Clip:
    name = row["filename"]
    parts = name.removesuffix(".flac").split("-")
    if len(parts) != 4 or not row["fold"] == parts[0] in map(str, FOLDS) or row["target"] not in map(str, range(10)):
        raise DataError(
            f"{folder / 'meta.csv'}: the row of {name} does not fit {{fold}}-{{source}}-{{take}}-{{class}}."
        )
    wave = read_audio(folder / "audio" / name, RATE, channels=1)[:, 0]
    return Clip(name, int(row["fold"]), parts[1], int(row["target"]), row["category"], wave)
