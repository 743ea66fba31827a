"""One writer a run directory; the operating system drops the lock when the process dies."""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

from ..core.errors import RunError


@contextlib.contextmanager
def locked(directory: Path) -> Iterator[None]:
    """Create ``directory`` if need be and hold its lock inside the block.

    Raises:
        RunError: it cannot be written, or another process writes this run.
    """
    path = directory / ".lock"
    try:
        directory.mkdir(parents=True, exist_ok=True)
        handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    except OSError as error:
        raise RunError(
            f"Cannot write {directory}: {error.strerror or error}.", "choose another folder with --out"
        ) from error
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            owner = os.pread(handle, 32, 0).decode(errors="replace").strip() or "unknown"
            raise RunError(
                f"{directory} is being written by another process (number {owner}).",
                "wait until it ends, or stop it; two processes must not write one run",
            ) from None
        os.ftruncate(handle, 0)
        os.pwrite(handle, f"{os.getpid()}\n".encode(), 0)
        yield
    finally:
        os.close(handle)
