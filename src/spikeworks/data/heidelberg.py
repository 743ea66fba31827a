"""Spiking Heidelberg Digits (SHD) and Spiking Speech Commands (SSC): speech as spikes of 700 cochlear units, HDF5.

B. Cramer, Y. Stradmann, J. Schemmel, F. Zenke, IEEE TNNLS 33, 2744 (2022), CC BY 4.0. A file holds ``spikes/times`` in
seconds and ``spikes/units``, a row of any length for each recording, and ``labels``; SHD also ``extra/speaker``.
SHD has no validation file. Two of its twelve speakers are in the test file alone; the others are in both.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from ..core.errors import DataError
from .files import FileSet, WantedFile
from .records import read_records

UNITS = 700
_ENGLISH = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
_GERMAN = ("null", "eins", "zwei", "drei", "vier", "fünf", "sechs", "sieben", "acht", "neun")
DIGITS = (*_ENGLISH, *_GERMAN)
"""What is said in the classes of SHD."""
COMMANDS = 35
"""Number of classes of SSC."""

SHD = FileSet(
    name="shd",
    title="Spiking Heidelberg Digits",
    files=(WantedFile("shd_train.h5"), WantedFile("shd_test.h5")),
    layout="shd_train.h5 and shd_test.h5",
    folders=("SHD", "SpikingHeidelbergDigits"),
    advice="unpack shd_train.h5.zip and shd_test.h5.zip of zenkelab.org/datasets there",
)
SSC = FileSet(
    name="ssc",
    title="Spiking Speech Commands",
    files=(WantedFile("ssc_train.h5"), WantedFile("ssc_valid.h5"), WantedFile("ssc_test.h5")),
    layout="ssc_train.h5, ssc_valid.h5 and ssc_test.h5",
    folders=("SSC", "SpikingSpeechCommands"),
    advice="unpack ssc_train.h5.zip, ssc_valid.h5.zip and ssc_test.h5.zip of zenkelab.org/datasets there",
)


@dataclasses.dataclass(frozen=True)
class SpikeRecording:
    """Spikes of one spoken word; there may be none.

    Attributes:
        name: file and position.
        times: in seconds, at least 0, as stored (16-bit floats in the published files), ``[N]``.
        units: 0 to 699, int64 ``[N]``.
        label: class id.
        speaker: 0 to 11; ``None`` where the file does not say.
    """

    name: str
    times: np.ndarray
    units: np.ndarray
    label: int
    speaker: int | None


def read_spikes(path: Path, classes: int, speakers: bool) -> Iterator[SpikeRecording]:
    """The recordings of one file, one at a time.

    Args:
        path: the file.
        classes: number of classes.
        speakers: whether the file says who speaks.

    Raises:
        DataError: no HDF5 file, cut off, without the groups above or with groups of unequal length; or recordings with
            unequal numbers of times and units, times that are not finite or before 0, units other than 0 to 699, or
            labels that are no class: how many are bad, how many fine, and what is wrong with the first.
    """
    import h5py

    wanted = ["spikes/times", "spikes/units", "labels", *(["extra/speaker"] if speakers else [])]
    try:
        handle = h5py.File(path, "r")
    except OSError as error:
        raise DataError(f"{path} is damaged or no HDF5 file: {error}.", "get the file again") from error
    with handle:
        parts: dict[str, Any] = {name: handle.get(name) for name in wanted}
        missing = [name for name, part in parts.items() if not isinstance(part, h5py.Dataset) or part.ndim != 1]
        if missing:
            raise DataError(f"{path}: expected the rows {', '.join(wanted)}; {', '.join(missing)} are not there.")
        lengths = {name: len(part) for name, part in parts.items()}
        if len(set(lengths.values())) > 1:
            raise DataError(f"{path}: expected one entry a recording everywhere, got {lengths}.", "get the file again")
        if not lengths["labels"]:
            raise DataError(f"{path} holds no recordings.")
        yield from read_records(range(lengths["labels"]), _reader(path, parts, classes), f"{path.name} recording")


def _reader(path: Path, parts: dict[str, Any], classes: int) -> Callable[[int], SpikeRecording]:
    labels, who = parts["labels"][:], None
    if "extra/speaker" in parts:
        who = parts["extra/speaker"][:]

    def read(index: int) -> SpikeRecording:
        name = f"{path}, recording {index}"
        try:
            times, units = (np.asarray(parts[f"spikes/{key}"][index]) for key in ("times", "units"))
        except OSError as error:
            raise DataError(f"{name} cannot be read: {error}.", "get the file again") from error
        if times.ndim != 1 or times.shape != units.shape or times.dtype.kind != "f" or units.dtype.kind not in "ui":
            raise DataError(
                f"{name}: expected a float time and a whole unit for each spike, got {times.dtype} {list(times.shape)} "
                f"and {units.dtype} {list(units.shape)}."
            )
        units = units.astype(np.int64)
        for bad, what in (
            (~np.isfinite(times), "a time that is not finite"),
            (times < 0, "a time before 0"),
            ((units < 0) | (units >= UNITS), f"a unit that is not one of 0 to {UNITS - 1}"),
        ):
            if bad.any():
                i = int(bad.argmax())
                raise DataError(
                    f"{name}: spike {i} has {what} ({int(bad.sum())} of {len(bad)} do): {times[i]} s, unit {units[i]}."
                )
        if not 0 <= int(labels[index]) < classes:
            raise DataError(f"{name}: label {labels[index]} is out of range; expected 0 to {classes - 1}.")
        return SpikeRecording(name, times, units, int(labels[index]), None if who is None else int(who[index]))

    return read
