"""BasicMotions of the UEA archive: four students, four activities, accelerometer and gyroscope of a watch.

40 + 40 cases of 100 readings at 10 Hz, six channels. Who moved is not recorded.
"""

from __future__ import annotations

from pathlib import Path

from ..core.errors import DataError
from .files import FileSet, WantedFile, locate
from .ts import TsCases, read_ts

RATE = 10.0
SHAPE = (100, 6)
CLASSES = ("Standing", "Running", "Walking", "Badminton")

BASIC_MOTIONS = FileSet(
    name="ucr_uea",
    title="BasicMotions",
    files=(
        WantedFile("BasicMotions/BasicMotions_TRAIN.ts"),
        WantedFile("BasicMotions/BasicMotions_TEST.ts"),
    ),
    layout="BasicMotions/BasicMotions_TRAIN.ts and BasicMotions_TEST.ts",
    folders=(".", "uea"),
    advice="the UEA archive of multivariate series, timeseriesclassification.com",
)


def load_basic_motions(root: str | Path | None) -> dict[str, TsCases]:
    """The official parts ``"train"`` and ``"test"``, 40 cases each.

    Raises:
        DataError: files missing or damaged, or not the 40 cases of 100 readings of six channels.
    """
    paths = list(locate(BASIC_MOTIONS, root).values())
    parts = {}
    for part, path in zip(("train", "test"), paths, strict=True):
        cases = read_ts(path)
        shape = (len(cases.targets), sorted(set(cases.lengths.tolist())), cases.rows.shape[1], cases.classes)
        if shape != (40, [SHAPE[0]], SHAPE[1], CLASSES):
            raise DataError(
                f"{path}: expected 40 cases of {SHAPE[0]} readings of {SHAPE[1]} channels, classes "
                f"{', '.join(CLASSES)}; got {shape[0]} cases of lengths {shape[1]}, {shape[2]} channels, classes "
                f"{', '.join(shape[3])}.",
                "get the file again",
            )
        parts[part] = cases
    return parts
