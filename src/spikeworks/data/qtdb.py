"""QT database as events: two leads of an electrocardiogram, coded by level crossing, with the wave of every step.

P. Laguna and others, Computers in Cardiology 1997 (PhysioNet, ODC-BY 1.0), in the coding of B. Yin, F. Corradi and
S. M. Bohte (Nature Machine Intelligence 3, 2021): ``QTDB_train.mat`` and ``QTDB_test.mat`` with ``x [N, 1301, 4]``,
rising and falling events of each lead, and ``y [N, 1301, 6]``, the wave of each step as one-hot. A few events of the
first channel are -1 (0.08 % of its entries) and stay so.

8 to 10 % of the steps have no wave: all six are 0. A maximum over them would call these steps the first wave; here they
have no label (-100).
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..core.batch import UNLABELLED
from ..core.errors import DataError
from .files import FileSet, WantedFile, locate

STEPS, CHANNELS = 1301, 4
WAVES = ("wave 1", "wave 2", "wave 3", "wave 4", "wave 5", "wave 6")
"""Six parts of a heart beat, in the order of the beat; the files do not name them."""

QTDB = FileSet(
    name="qtdb_ecg",
    title="QT database as events",
    files=(
        WantedFile("QTDB_train.mat", "sha256:72d1a10c96f1540880447e07256835d66da419c0b34f3dff495731a7928c5bc7"),
        WantedFile("QTDB_test.mat", "sha256:916f11e21679a5b61988305bbb7cd1e6df8b34f1ed4a157a7a4e295d400ef232"),
    ),
    layout="QTDB_train.mat and QTDB_test.mat",
    folders=("QTDB", "qtdb"),
    advice="the folder data/ of github.com/byin-cwi/Efficient-spiking-networks",
)


@dataclasses.dataclass(frozen=True)
class Beats:
    """One file: events int8 ``[N, T, 4]`` of -1, 0 and 1, and waves int8 ``[N, T]``, -100 where there is none."""

    events: Tensor
    waves: Tensor


def load_qtdb(root: str | Path | None) -> dict[str, Beats]:
    """The files ``train`` and ``test``.

    Raises:
        DataError: files missing, changed or damaged.
    """
    paths = locate(QTDB, root)
    return {name: read_beats(paths[f"QTDB_{name}.mat"]) for name in ("train", "test")}


def read_beats(path: str | Path) -> Beats:
    """One file; of any number of sequences and steps.

    Raises:
        DataError: a file that cannot be read as MATLAB's, lacks ``x`` or ``y``, or whose events or waves are not what
            is described above; the message names the first such sequence and says how many are fine.
    """
    import scipy.io

    try:
        held: dict[str, Any] = scipy.io.loadmat(path, variable_names=("x", "y"))
    except Exception as error:  # whatever a damaged file makes the reader raise
        raise DataError(f"Cannot read {path} as a MATLAB file: {error}.", "get the file again") from error
    if "x" not in held or "y" not in held:
        raise DataError(f"{path}: expected the arrays x and y, found {', '.join(k for k in held if k[0] != '_')}.")
    events, waves = (torch.from_numpy(held[name].astype("int64")) for name in ("x", "y"))
    if events.dim() != 3 or events.shape[2] != CHANNELS or waves.shape != (*events.shape[:2], len(WAVES)):
        raise DataError(
            f"{path}: expected x [N, T, {CHANNELS}] and y [N, T, {len(WAVES)}], got {list(events.shape)} and "
            f"{list(waves.shape)}."
        )
    labels = waves.sum(2)
    bad = (events.abs() > 1).flatten(1).any(1) | (waves < 0).flatten(1).any(1) | (labels > 1).any(1)
    if bool(bad.any()):
        raise DataError(
            f"{path}: sequence {int(bad.nonzero()[0])} has events other than -1, 0 and 1, or a step of several waves; "
            f"{int(bad.sum())} of {len(bad)} are damaged, {int((~bad).sum())} are fine.",
            "get the file again",
        )
    return Beats(events.to(torch.int8), waves.argmax(2).masked_fill(labels == 0, UNLABELLED).to(torch.int8))
