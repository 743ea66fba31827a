"""N-MNIST: MNIST's digits before an event camera that makes three small jumps; 34 x 34 pixels, about 0.3 s.

G. Orchard, A. Jayawant, G. K. Cohen, N. Thakor (2015), CC BY-SA 4.0. The sample here is the recordings of
the first 1000 training and the first 100 test digits. In the full set of 60 000 and 10 000 recordings the same
files have the same names.

Format of a ``.bin`` file: five bytes an event: x, y, then 24 bits, the highest byte first, of which the top one is the
polarity and the other 23 are the time in microseconds. An event at y = 240 is none: the clock ran over, and all
later times are 8192 us later than they say.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ..core.errors import DataError
from .check import check_labels
from .events import Events, FrameBy, check_events, event_frames
from .files import FileSet, WantedFile, locate

SIZE = (34, 34)
_EVENT_BYTES = 5
_OVERFLOW_ROW, _OVERFLOW_TIME = 240, 1 << 13

# digits of the first recordings; the folder of a recording is its digit
_TRAIN = (
    "5041921314353617286940911243273869056076187939859330749809414460456100171630211790267839046746807831"
    "5717116302931104920020271864163459133854774285867346199603728294464970929515912323591762822507497832"
    "1183610310017273046526471899307102035465863758091031223364750627985921144564125393905965741340480436"
    "8760975721168941522903967203543658954742734891928791874131102394921684774492572442197287692238165110"
    "2645831519274448158956799370906623907548094128712610301182039405061778192051227354971839603112635768"
    "3958576113175552587097750900892481616518340558362392115213287372469724281138406593092471294261890667"
    "9980144671570358471259567598836970757110792373241627557402636404260000316223141546472879205142832415"
    "4607984980110223244586577889747320868616894090415475374985863869918358659725085110918670930889678475"
    "9267459231639225680771987099462851415517364325644044672433800322982370110233843576477859703162434475"
    "9690714273675845527115685840799297787426917064257071037650615178503477578693861097130564424431776036"
)
_TEST = "7210414959069015973496654074013134727121174235124463556041957893746430702917329776278473613693141769"

NMNIST_SAMPLE = FileSet(
    name="nmnist_small",
    title="N-MNIST sample",
    files=tuple(
        WantedFile(f"{part}/{digit}/{number:05d}.bin")
        for part, digits in (("Train", _TRAIN), ("Test", _TEST))
        for number, digit in enumerate(digits, start=1)
    ),
    layout="Train/{digit}/{number}.bin and Test/{digit}/{number}.bin, 1000 and 100 files",
    folders=("nmnist", "N-MNIST", "NMNIST"),
    digest="7a2ae574acf36a66cf087cfd7021f390f4884fa08c49fbfc0d85aaf3ddcf31ca",
    advice="unpack Train.zip and Test.zip of N-MNIST there; the files of the sample are among theirs",
)


def read_nmnist(path: str | Path) -> Events:
    """The events of one ``.bin`` file.

    Raises:
        DataError: it cannot be read, ends inside an event, holds none, or one outside of the sensor.
    """
    path = Path(path)
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise DataError(f"Cannot read {path}: {error.strerror or error}.") from error
    if len(raw) % _EVENT_BYTES:
        raise DataError(
            f"{path} is damaged: events have {_EVENT_BYTES} bytes, the file has {len(raw)}.", "get the file again"
        )
    x, y, high, middle, low = np.frombuffer(raw, dtype=np.uint8).reshape(-1, _EVENT_BYTES).T.astype(np.int64)
    time = ((high & 0x7F) << 16) | (middle << 8) | low
    marks = y == _OVERFLOW_ROW
    time = time + _OVERFLOW_TIME * np.cumsum(marks)
    fields = (field[~marks] for field in (x, y, high >> 7, time))
    events = Events(*(torch.from_numpy(np.ascontiguousarray(field)) for field in fields))
    check_events(events, SIZE, str(path))
    return events


def load_nmnist_frames(root: str | Path | None, part: str, steps: int, by: FrameBy) -> tuple[Tensor, Tensor]:
    """Frames ``[N, T, 2, 34, 34]`` int16 and digits ``[N]`` int64 of the ``"Train"`` or ``"Test"`` part, by number.

    Raises:
        DataError: files missing or damaged; ConfigError: frames that cannot be made.
    """
    paths = locate(NMNIST_SAMPLE, root)
    names = [name for name in paths if name.startswith(f"{part}/")]
    frames = torch.stack([event_frames(read_nmnist(paths[name]), steps, SIZE, by=by).short() for name in names])
    digits = torch.tensor([int(name.split("/")[1]) for name in names])
    check_labels(f"{NMNIST_SAMPLE.title} {part}", digits, classes=10)
    return frames, digits
