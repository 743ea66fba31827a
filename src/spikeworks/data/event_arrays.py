"""Recordings of an event camera stored as one structured NumPy array with the fields t, x, y and p.

Example: ``read_event_array(folder / "train" / "water" / "0.npy", size=(128, 128))``.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from ..core.errors import DataError
from .events import Events, check_events

FIELDS = ("t", "x", "y", "p")


def read_event_array(path: str | Path, size: tuple[int, int]) -> Events:
    """The events of one ``.npy`` file, put in the order of their times.

    Args:
        path: the file.
        size: H and W of the sensor.

    Raises:
        DataError: it cannot be read, is cut off, has other fields, holds no events, values that are not finite,
            polarities other than 0 and 1, times before 0, or events outside of the sensor.
    """
    path = Path(path)
    try:
        stored = np.load(path, allow_pickle=False)
    except OSError as error:
        raise DataError(f"Cannot read {path}: {error.strerror or error}.") from error
    except (ValueError, EOFError) as error:
        raise DataError(f"{path} is damaged or no NumPy array: {error}.", "get the file again") from error
    if not isinstance(stored, np.ndarray) or stored.ndim != 1 or not set(FIELDS) <= set(stored.dtype.names or ()):
        found = stored.dtype.names if isinstance(stored, np.ndarray) and stored.dtype.names else type(stored).__name__
        raise DataError(f"{path}: expected one row of events with the fields {', '.join(FIELDS)}, got {found}.")
    t, x, y, p = (_whole(stored[name], name, path) for name in FIELDS)
    for bad, what in (((p != 0) & (p != 1), "a polarity that is not 0 or 1"), (t < 0, "a time before 0")):
        if bad.any():
            i = int(bad.argmax())
            raise DataError(f"{path}: event {i} has {what} ({int(bad.sum())} of {len(bad)} do): {stored[i]}.")
    order = np.argsort(t, kind="stable")
    events = Events(*(torch.from_numpy(field[order]) for field in (x, y, p, t)))
    check_events(events, size, str(path))
    return events


def _whole(field: np.ndarray, name: str, path: Path) -> np.ndarray:
    if field.dtype.kind not in "buif":
        raise DataError(f"{path}: the field {name} holds {field.dtype}, not numbers.")
    broken = ~np.isfinite(field)
    if broken.any():
        raise DataError(f"{path}: {name} of event {int(broken.argmax())} is {field[broken][0]}.")
    return field.astype(np.int64)
