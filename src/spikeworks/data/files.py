"""Where a data set's files lie, and whether they are the right ones.

A set is described once (:class:`FileSet`): its files, their checksums, the folders in which they
may stand below the data directory, and how to get them. Nothing here knows a fixed path: the
data directory is passed in, or named by the environment variable ``SPIKEWORKS_DATA``.
"""

from __future__ import annotations

import dataclasses
import hashlib
import os
from collections.abc import Iterable
from pathlib import Path

from ..core.errors import DataError

ENVIRONMENT = "SPIKEWORKS_DATA"
_LISTED = 8  # names in a message before it says "and so many more"


@dataclasses.dataclass(frozen=True)
class WantedFile:
    """One file: its name below the set's folder and, where known, ``md5:…`` or ``sha256:…``."""

    name: str
    checksum: str | None = None


@dataclasses.dataclass(frozen=True)
class Source:
    """A public address.

    Attributes:
        addresses: for single files, folders that hold them, tried in order; for an archive,
            the archive itself at one or several places.
        archive: the address is a zip file that contains the wanted files under their names,
            below any folder.
    """

    addresses: tuple[str, ...]
    archive: bool = False


@dataclasses.dataclass(frozen=True)
class FileSet:
    """The files of a data set.

    Attributes:
        name: the set's folder below the data directory.
        title: what people call it.
        files: every file that is wanted.
        layout: the files in one short line, for listings.
        folders: further folders, relative to the data directory, in which to look.
        digest: SHA-256 over the names and contents of all files (:func:`tree_digest`), for
            sets whose files have no checksums of their own.
        source: where to download; ``None``: only by hand.
        advice: how to get the files by hand.
    """

    name: str
    title: str
    files: tuple[WantedFile, ...]
    layout: str
    folders: tuple[str, ...] = ()
    digest: str | None = None
    source: Source | None = None
    advice: str = ""

    def candidates(self, root: Path) -> list[Path]:
        """Folders that are searched, in order."""
        return [root / self.name, *(root / folder for folder in self.folders)]


def data_root(root: str | Path | None) -> Path | None:
    """``root``, else the folder named by SPIKEWORKS_DATA, else ``None``."""
    if root is not None:
        return Path(root)
    named = os.environ.get(ENVIRONMENT)
    return Path(named) if named else None


def locate(wanted: FileSet, root: str | Path | None, verify: bool = True) -> dict[str, Path]:
    """The path of every file of a set, checked.

    Args:
        wanted: the set.
        root: the data directory; ``None`` asks the environment.
        verify: compare checksums.

    Returns:
        From the names of :attr:`FileSet.files` to paths, all in one folder.

    Raises:
        DataError: no data directory, files missing (all are named, with the places searched
            and how to get them), or a checksum that differs.
    """
    root = data_root(root)
    if root is None:
        raise DataError(
            f"{wanted.title}: no data directory was given. Wanted: {_listing(f.name for f in wanted.files)}.",
            _how(wanted),
        )
    folders = wanted.candidates(root)
    missing = {folder: [f.name for f in wanted.files if not (folder / f.name).is_file()] for folder in folders}
    best = min(folders, key=lambda folder: len(missing[folder]))
    if missing[best]:
        places = ", ".join(str(folder) for folder in folders)
        raise DataError(
            f"{wanted.title}: {len(missing[best])} of {len(wanted.files)} files are missing: "
            f"{_listing(missing[best])}. Looked in: {places}.",
            _how(wanted),
        )
    paths = {f.name: best / f.name for f in wanted.files}
    if verify:
        verify_files(wanted, paths)
    return paths


def verify_files(wanted: FileSet, paths: dict[str, Path]) -> None:
    """Raise DataError where a file's checksum, or the digest of the whole set, differs."""
    for file in wanted.files:
        if file.checksum is not None:
            verify_checksum(paths[file.name], file.checksum, _how(wanted))
    if wanted.digest is not None and tree_digest(paths) != wanted.digest:
        raise DataError(
            f"{wanted.title}: the {len(paths)} files are all there, but their contents differ from the published set.",
            _how(wanted),
        )


def verify_checksum(path: Path, checksum: str, hint: str | None = None) -> None:
    """Raise DataError unless the file has the checksum ``md5:…`` or ``sha256:…``."""
    method, _, expected = checksum.partition(":")
    found = file_hash(path, method)
    if found != expected:
        raise DataError(f"{path} is damaged or another version: expected {method} {expected}, got {found}.", hint)


def file_hash(path: Path, method: str) -> str:
    """Hexadecimal hash of a file; ``method`` is ``md5`` or ``sha256``."""
    try:
        with path.open("rb") as handle:
            # md5 serves against damage here, because publishers give it; not against an attacker
            return hashlib.file_digest(handle, lambda: hashlib.new(method, usedforsecurity=False)).hexdigest()
    except OSError as error:
        raise DataError(f"Cannot read {path}: {error.strerror or error}.") from error


def tree_digest(paths: dict[str, Path]) -> str:
    """SHA-256 over name and SHA-256 of every file, in the order of the names."""
    total = hashlib.sha256()
    for name in sorted(paths):
        total.update(f"{name}\0{file_hash(paths[name], 'sha256')}\n".encode())
    return total.hexdigest()


def _listing(names: Iterable[str]) -> str:
    names = list(names)
    more = f" and {len(names) - _LISTED} more" if len(names) > _LISTED else ""
    return ", ".join(names[:_LISTED]) + more


def _how(wanted: FileSet) -> str:
    place = f"name the folder that holds {wanted.name}/ with --data DIR or {ENVIRONMENT}"
    ways = [f"{place} ({wanted.name}/ holds {wanted.layout})"]
    if wanted.source is not None:
        ways.append(f"'spikeworks data TASK' downloads it from {wanted.source.addresses[0]}")
    if wanted.advice:
        ways.append(wanted.advice)
    return "; ".join(ways)
