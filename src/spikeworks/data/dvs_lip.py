"""DVS-Lip: a hundred words, seen on the lips of speakers by an event camera of 128 x 128 pixels.

G. Tan, Y. Wang, H. Han, Y. Cao, F. Wu, Z.-J. Zha, CVPR 2022. Files are ``{train,test}/{word}/{number}.npy``
(:func:`~spikeworks.data.event_arrays.read_event_array`); the names do not tell the speaker. The speakers of the test
part are not those of the training part.
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from ..core.errors import DataError
from .event_arrays import read_event_array
from .event_clips import event_places
from .files import FileSet, WantedFile
from .records import read_records
from .trees import locate_tree

SIZE = (128, 128)
# fmt: off
WORDS = (
    "accused", "action", "allow", "allowed", "america", "american", "another", "around", "attacks", "banks",
    "become", "being", "benefit", "benefits", "between", "billion", "called", "capital", "challenge", "change",
    "chief", "couple", "court", "death", "described", "difference", "different", "during", "economic", "education",
    "election", "england", "evening", "everything", "exactly", "general", "germany", "giving", "ground", "happen",
    "happened", "having", "heavy", "house", "hundreds", "immigration", "judge", "labour", "leaders", "legal",
    "little", "london", "majority", "meeting", "military", "million", "minutes", "missing", "needs", "number",
    "numbers", "paying", "perhaps", "point", "potential", "press", "price", "question", "really", "right", "russia",
    "russian", "saying", "security", "several", "should", "significant", "spend", "spent", "started", "still",
    "support", "syria", "syrian", "taken", "taking", "terms", "these", "thing", "think", "times", "tomorrow",
    "under", "warning", "water", "welcome", "words", "worst", "years", "young",
)
# fmt: on
"""The words in the order of their classes, which is that of the alphabet."""

DVS_LIP = FileSet(
    name="dvs_lip",
    title="DVS-Lip",
    files=(WantedFile("train/*/*.npy"), WantedFile("test/*/*.npy")),
    layout="train/{word}/{number}.npy and test/{word}/{number}.npy, 100 words",
    folders=("DVS-Lip", "dvs-lip"),
    advice="unpack DVS-Lip.zip, which the authors of the data set give for research, there",
)


def load_dvs_lip(
    root: str | Path | None, part: str, words: tuple[str, ...], steps: int, width: float, inner: int
) -> tuple[list[Tensor], Tensor, list[str]]:
    """The clips of some words.

    Args:
        root: the data directory.
        part: ``"train"`` or ``"test"``.
        words: those wanted; a clip's class is the place of its word here.
        steps, width, inner: as for :func:`~spikeworks.data.event_clips.event_places`.

    Returns:
        Places of the events of each clip, classes ``[N]`` int64, and names ``{word}/{number}``, sorted by word and
        name.

    Raises:
        DataError: files missing or damaged, a folder that is none of the hundred words, or a wanted word without clips.
    """
    _, found = locate_tree(DVS_LIP, root)
    paths = found[f"{part}/*/*.npy"]
    folders = {path.parent.name: path.parent for path in paths}
    strange = sorted(set(folders) - set(WORDS))
    if strange:
        raise DataError(
            f"{DVS_LIP.title}: {len(strange)} of {len(folders)} folders are none of the {len(WORDS)} words, the other "
            f"{len(folders) - len(strange)} are fine. The first: {folders[strange[0]]}.",
            "remove it, or give it the name of its word",
        )
    absent = [word for word in words if word not in folders]
    if absent:
        raise DataError(f"{DVS_LIP.title}: {part} has no clips of {len(absent)} words: {', '.join(absent[:8])}.")
    wanted = [path for path in paths if path.parent.name in words]
    read = read_records(wanted, lambda path: read_event_array(path, SIZE), f"{DVS_LIP.title} clip")
    places = [event_places(events, steps, width, SIZE, inner) for events in read]
    classes = torch.tensor([words.index(path.parent.name) for path in wanted])
    return places, classes, [f"{path.parent.name}/{path.stem}" for path in wanted]
