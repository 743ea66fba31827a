"""Sets whose files are known by pattern only: published as folders of recordings without a list of names."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from .files import FileSet, data_root, locate


def locate_tree(wanted: FileSet, root: str | Path | None) -> tuple[Path, dict[str, list[Path]]]:
    """The folder of a set and, for every wanted pattern, the files that match it, by name.

    Args:
        wanted: the set; the names of its files are patterns as in :meth:`pathlib.Path.glob`, such as
            ``"train/*/*.npy"``.
        root: the data directory; ``None`` asks the environment.

    Raises:
        DataError: no data directory, or patterns that nothing matches; the message is that of
            :func:`~spikeworks.data.files.locate`.
    """
    base = data_root(root)
    missing: list[str] = [file.name for file in wanted.files]
    if base is not None:
        for folder in wanted.candidates(base):
            found = {file.name: sorted(path for path in folder.glob(file.name)) for file in wanted.files}
            if all(found.values()):
                return folder, found
            missing = min(missing, [name for name, paths in found.items() if not paths], key=len)
    # patterns are no files, so this always raises, with the places and how to get them
    locate(dataclasses.replace(wanted, files=tuple(f for f in wanted.files if f.name in missing)), root)
    raise AssertionError(f"{wanted.title}: {missing} are at once missing and there")


def all_files(wanted: FileSet, root: str | Path | None, verify: bool = True) -> list[Path]:
    """Every file of a set, whether the set knows them by name or by pattern.

    Args:
        wanted: the set.
        root: the data directory; ``None`` asks the environment.
        verify: compare checksums, where the set has any.

    Raises:
        DataError: as :func:`locate_tree` and :func:`~spikeworks.data.files.locate`.
    """
    if any("*" in file.name for file in wanted.files):
        return [path for paths in locate_tree(wanted, root)[1].values() for path in paths]
    return list(locate(wanted, root, verify).values())
