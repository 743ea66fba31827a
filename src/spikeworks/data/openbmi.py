"""OpenBMI motor imagery: 54 subjects, 2 sessions, 62 channels at 1 kHz, MATLAB files.

Lee et al. 2019 (GigaDB 100542). A file ``sess01_subj01_EEG_MI.mat`` holds two structures,
``EEG_MI_train`` and ``EEG_MI_test``, each a recording of its own with 100 trials: ``x`` ``[samples, 62]``, the
cues ``t`` (from 1, as MATLAB counts) and the classes ``y_dec``, 1 right hand and 2 left hand.

The preprocessed mirror of the Neuromorphic Sequential Arena holds ``x_train.npy``, ``x_test.npy``
``[N, 1, 62, T]`` and ``y_train.npy``, ``y_test.npy`` ``[N]`` instead; who a trial belongs to is lost there.
"""

from __future__ import annotations

import dataclasses
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import scipy.io
import torch
from scipy.io.matlab import MatReadError
from torch import Tensor

from ..core.errors import ConfigError, DataError
from .files import FileSet, WantedFile, locate

SUBJECTS = tuple(range(1, 55))
SESSIONS = (1, 2)
PHASES = ("train", "test")
RATE = 1000.0
CHANNELS = 62
CLASSES = ("right hand", "left hand")

OPENBMI = FileSet(
    name="openbmi",
    title="OpenBMI motor imagery",
    files=tuple(
        WantedFile(f"sess{session:02d}_subj{subject:02d}_EEG_MI.mat") for subject in SUBJECTS for session in SESSIONS
    ),
    layout="sess{01,02}_subj{01-54}_EEG_MI.mat, 108 files",
    folders=("OpenBMI", "EEG-MI"),
    advice="GigaDB data set 100542, 'EEG dataset and OpenBMI toolbox for three BCI paradigms'",
)
OPENBMI_ARRAYS = FileSet(
    name="openbmi",
    title="OpenBMI motor imagery, preprocessed",
    files=tuple(WantedFile(f"{kind}_{part}.npy") for part in ("train", "test") for kind in ("x", "y")),
    layout="x_train.npy, y_train.npy, x_test.npy and y_test.npy",
    folders=("OpenBMI", "EEG-MI"),
    advice="the mirror of the Neuromorphic Sequential Arena; the raw recordings are read with layout=raw",
)


@dataclasses.dataclass(frozen=True)
class MotorRecording:
    """One structure of one file.

    Attributes:
        name: session, subject and phase, such as ``sess01_subj03/train``.
        subject: 1 to 54.
        session: 1 or 2.
        phase: ``train`` or ``test``, as the makers of the set call them.
        signal: ``[L, 62]`` as stored, microvolts.
        cues: first sample of each trial, from 0.
        labels: 0 right hand, 1 left hand.
    """

    name: str
    subject: int
    session: int
    phase: str
    signal: np.ndarray
    cues: tuple[int, ...]
    labels: tuple[int, ...]


def load_openbmi(root: str | Path | None, subjects: Sequence[int] | None = None) -> Iterator[MotorRecording]:
    """All recordings, one in memory at a time: by subject, session and phase.

    Args:
        root: the data directory.
        subjects: only these of 1 to 54; ``None``: all.

    Raises:
        ConfigError: a subject that there is not, or one that is named twice.
        DataError: files missing or damaged; see :func:`read_openbmi`.
    """
    chosen = sorted(SUBJECTS if subjects is None else subjects)
    if not set(chosen) <= set(SUBJECTS) or len(set(chosen)) < len(chosen):
        raise ConfigError(f"OpenBMI: subjects are distinct numbers from 1 to {SUBJECTS[-1]}, got {chosen}.")
    wanted = [(subject, session) for subject in chosen for session in SESSIONS]
    names = [f"sess{session:02d}_subj{subject:02d}_EEG_MI.mat" for subject, session in wanted]
    paths = locate(dataclasses.replace(OPENBMI, files=tuple(map(WantedFile, names))), root)
    for (subject, session), name in zip(wanted, names, strict=True):
        yield from read_openbmi(paths[name], subject, session)


def read_openbmi(path: str | Path, subject: int, session: int) -> list[MotorRecording]:
    """Both recordings of one file.

    Raises:
        DataError: no MATLAB file of version 4 to 7, or cut off; a structure or field is missing; another
            rate than 1 kHz or other than 62 channels; cues and classes that differ in number, or a class other
            than 1 and 2 (the message says how many trials are fine).
    """
    path = Path(path)
    names = [f"EEG_MI_{phase}" for phase in PHASES]
    try:
        held: dict[str, Any] = scipy.io.loadmat(path, variable_names=names)
    except NotImplementedError:
        raise DataError(f"{path} is a MATLAB file of version 7.3.", "save it with save('-v7', ...)") from None
    except (OSError, ValueError, TypeError, KeyError, EOFError, MatReadError, zlib.error) as error:
        raise DataError(f"{path} is cut off or no MATLAB file: {error}", "get the file again") from error
    recordings = []
    for name, phase in zip(names, PHASES, strict=True):
        signal, cues, labels = _contents(f"{path}, {name}", held.get(name))
        title = f"sess{session:02d}_subj{subject:02d}/{phase}"
        recordings.append(MotorRecording(title, subject, session, phase, signal, cues, labels))
    return recordings


def _contents(where: str, structure: Any) -> tuple[np.ndarray, tuple[int, ...], tuple[int, ...]]:
    """Signal, cues from 0 and class ids of a structure."""
    fields = _fields(where, structure)
    rate = fields.get("fs")
    if rate is not None and np.size(rate) == 1 and float(np.ravel(rate)[0]) != RATE:
        raise DataError(f"{where}: expected a rate of {RATE:g} Hz, got {float(np.ravel(rate)[0]):g} Hz.")
    signal = np.asarray(fields["x"])
    if signal.ndim != 2 or signal.shape[1] != CHANNELS or signal.dtype.kind not in "fiu":
        raise DataError(
            f"{where}: expected a signal x of shape [samples, {CHANNELS}], got {list(signal.shape)} of {signal.dtype}.",
            "all 62 channels are needed for the common average",
        )
    cues, classes = np.ravel(fields["t"]), np.ravel(fields["y_dec"])
    if not len(cues) or len(cues) != len(classes):
        raise DataError(f"{where}: {len(cues)} cues t came with {len(classes)} classes y_dec.", "get the file again")
    wrong = [i for i, value in enumerate(classes.tolist()) if value not in (1, 2)]
    if wrong:
        raise DataError(
            f"{where}: trial {wrong[0] + 1} has class {classes[wrong[0]]}, expected 1 or 2. "
            f"{len(wrong)} of {len(classes)} trials are wrong, {len(classes) - len(wrong)} are fine.",
            "get the file again",
        )
    return signal, tuple(int(cue) - 1 for cue in np.rint(cues)), tuple(int(value) - 1 for value in classes)


def _fields(where: str, structure: Any) -> dict[str, Any]:
    """The fields of a MATLAB structure of one element."""
    names = getattr(getattr(structure, "dtype", None), "names", None)
    if names is None or structure.size != 1:
        raise DataError(f"{where} is missing or no structure.", "expected the raw file of OpenBMI's motor imagery")
    missing = [name for name in ("x", "t", "y_dec") if name not in names]
    if missing:
        raise DataError(f"{where} has no field {', '.join(missing)}; its fields: {', '.join(names)}.")
    return {name: structure.flat[0][name] for name in names}


def load_openbmi_arrays(root: str | Path | None, steps: int) -> dict[str, tuple[Tensor, Tensor]]:
    """The preprocessed mirror: float32 ``[N, T, 62]`` and class ids ``[N]`` of ``"train"`` and ``"test"``.

    Raises:
        DataError: files missing or damaged, or arrays of another shape or kind.
    """
    paths = locate(OPENBMI_ARRAYS, root)
    parts = {}
    for part in ("train", "test"):
        x, y = (_array(paths[f"{kind}_{part}.npy"]) for kind in ("x", "y"))
        if x.ndim != 4 or x.shape[1:] != (1, CHANNELS, steps) or x.dtype.kind != "f":
            raise DataError(
                f"{paths[f'x_{part}.npy']}: expected floats [N, 1, {CHANNELS}, {steps}], "
                f"got {list(x.shape)} of {x.dtype}.",
                "set steps to the last of these numbers" if x.ndim == 4 else None,
            )
        if y.size != len(x) or y.dtype.kind not in "iu":
            raise DataError(
                f"{paths[f'y_{part}.npy']}: expected {len(x)} whole numbers, got {list(y.shape)} of {y.dtype}."
            )
        signals = torch.from_numpy(np.ascontiguousarray(x[:, 0].astype(np.float32).swapaxes(1, 2)))
        parts[part] = (signals, torch.from_numpy(y.reshape(-1).astype(np.int64)))
    return parts


def _array(path: Path) -> np.ndarray:
    try:
        return np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise DataError(f"{path} is cut off or no NumPy file: {error}", "get the file again") from error
