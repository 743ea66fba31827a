"""Human motion primitives, wrist accelerometer: 14 activities, 16 volunteers, 32 Hz, text.

Bruno, Mastrogiovanni and Sgorbissa (ICRA 2013). A folder is an activity, a file one recording,
``Walk/Accelerometer-2011-05-30-10-29-28-walk-m1.txt``, whose last word is the volunteer. A line is a
reading of three whole numbers from 0 to 63, which stand for -1.5 g to +1.5 g. The authors allow
use and change for one's own research; the files must not be passed on.
"""

from __future__ import annotations

import collections
import dataclasses
import re
from pathlib import Path

import torch
from torch import Tensor

from ..core.errors import DataError
from .files import FileSet, WantedFile, locate, verify_files

RATE = 32.0
RECORDINGS = {
    "brush_teeth": 12,
    "climb_stairs": 102,
    "comb_hair": 31,
    "descend_stairs": 42,
    "drink_glass": 100,
    "eat_meat": 5,
    "eat_soup": 3,
    "getup_bed": 101,
    "liedown_bed": 28,
    "pour_water": 100,
    "sitdown_chair": 100,
    "standup_chair": 102,
    "use_telephone": 13,
    "walk": 100,
}
"""How many recordings there are of each activity, in the order of their class ids."""
ACTIVITIES = tuple(RECORDINGS)

# The names hold dates, so that all 839 would have to be listed; the first of each folder finds the set.
_FIRST = (
    "2011-04-11-13-28-18-brush_teeth",
    "2011-03-24-10-24-39-climb_stairs",
    "2011-03-24-09-44-34-comb_hair",
    "2011-03-24-10-24-02-descend_stairs",
    "2011-03-24-10-07-02-drink_glass",
    "2011-03-24-13-06-15-eat_meat",
    "2011-03-24-13-33-22-eat_soup",
    "2011-03-29-09-21-17-getup_bed",
    "2011-03-29-09-19-22-liedown_bed",
    "2011-03-24-10-04-32-pour_water",
    "2011-03-24-09-50-16-sitdown_chair",
    "2011-03-23-10-39-18-standup_chair",
    "2011-03-29-09-30-56-use_telephone",
    "2011-03-24-09-51-07-walk",
)

HMP = FileSet(
    name="hmp_wrist_accel",
    title="Human motion primitives, wrist accelerometer",
    files=tuple(
        WantedFile(f"{activity.capitalize()}/Accelerometer-{first}-f1.txt")
        for activity, first in zip(ACTIVITIES, _FIRST, strict=True)
    ),
    layout="a folder for each of 14 activities with Accelerometer-<date>-<activity>-<volunteer>.txt, 839 files",
    folders=("HMP_Dataset", "hmp"),
    digest="eeb02b53e1c797cb5b6a95d9e2df3a369d179ee2357c3e9519eba8495939b349",
    advice="'ADL Recognition with Wrist-worn Accelerometer' of the UCI archive",
)
"""The digest is that of all 839 recordings; ``files`` names the first of every activity."""

_NAME = re.compile(r"Accelerometer(?:-\d+){6}-(?P<activity>[a-z_]+)-(?P<volunteer>[fm]\d+)\.txt")


@dataclasses.dataclass(frozen=True)
class HmpRecording:
    """One file.

    Attributes:
        name: the file's name.
        volunteer: ``f1`` to ``f5`` and ``m1`` to ``m11``.
        activity: class id.
        rows: acceleration along x, y and z in g, float64 ``[L, 3]``.
    """

    name: str
    volunteer: str
    activity: int
    rows: Tensor


def load_hmp(root: str | Path | None) -> list[HmpRecording]:
    """All 839 recordings, by activity and date.

    Raises:
        DataError: files missing, added, changed or damaged.
    """
    found = locate(dataclasses.replace(HMP, digest=None), root)
    folder = found[HMP.files[0].name].parent.parent
    paths = sorted(path for activity in ACTIVITIES for path in (folder / activity.capitalize()).glob("*.txt"))
    counts = collections.Counter(path.parent.name.lower() for path in paths)
    for activity, expected in RECORDINGS.items():
        if counts[activity] != expected:
            raise DataError(
                f"{HMP.title}: {folder / activity.capitalize()} holds {counts[activity]} recordings, not {expected}.",
                "get the set again; every figure on it is for the same 839 recordings",
            )
    verify_files(HMP, {str(path.relative_to(folder).as_posix()): path for path in paths})
    return [read_hmp(path) for path in paths]


def read_hmp(path: str | Path) -> HmpRecording:
    """One recording; blank lines are passed over.

    Raises:
        DataError: a name that does not tell activity and volunteer, a file that cannot be read or is
            empty, or a line that is not three whole numbers from 0 to 63; the message names the first
            such line and says how many are fine.
    """
    path = Path(path)
    name = _NAME.fullmatch(path.name)
    if name is None or name["activity"] not in RECORDINGS:
        raise DataError(
            f"{path}: expected a name such as Accelerometer-2011-05-30-10-29-28-walk-m1.txt with one of the activities "
            f"{', '.join(ACTIVITIES)}."
        )
    try:
        lines = path.read_text(encoding="utf-8").split("\n")
    except OSError as error:
        raise DataError(f"Cannot read {path}: {error.strerror or error}.") from error
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is no text file: {error.reason} at byte {error.start}.", "get it again") from error
    rows: list[list[int]] = []
    faults: list[tuple[int, str]] = []
    for number, line in enumerate(lines, start=1):
        words = line.split()
        if len(words) == 3 and all(word.isdecimal() and int(word) <= 63 for word in words):
            rows.append([int(word) for word in words])
        elif words:
            faults.append((number, line.strip()))
    if faults:
        raise DataError(
            f"{path}, line {faults[0][0]}: expected three whole numbers from 0 to 63, got {faults[0][1][:40]!r}. "
            f"{len(faults)} of {len(faults) + len(rows)} lines are damaged, {len(rows)} are fine.",
            "get the file again",
        )
    if not rows:
        raise DataError(f"{path} holds no readings: expected a line for each.", "get the file again")
    levels = torch.tensor(rows, dtype=torch.float64)
    return HmpRecording(path.name, name["volunteer"], ACTIVITIES.index(name["activity"]), -1.5 + 3 * levels / 63)
