"""Reading a set record by record, so that one damaged record is reported together with the state of all others."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

from ..core.errors import DataError

Name = TypeVar("Name")
Record = TypeVar("Record")


def read_records(names: Sequence[Name], read: Callable[[Name], Record], what: str) -> Iterator[Record]:
    """``read(name)`` for every name, in order.

    Args:
        names: of the records, usually paths.
        read: raises DataError for a record that cannot be used.
        what: records of what, for the message: ``"SLoClas recording"``.

    Raises:
        DataError: as soon as the first bad record is met, after all others were tried: how many are bad, how many
            fine, and what is wrong with the first.

    Example:
        >>> list(read_records(["1", "2"], int, "number"))
        [1, 2]
    """
    for position, name in enumerate(names):
        try:
            record = read(name)
        except DataError as error:
            bad = 1 + sum(not _readable(read, later) for later in names[position + 1 :])
            raise DataError(
                f"{bad} of {len(names)} {what}s cannot be used, the other {len(names) - bad} are fine. "
                f"The first: {error}"
            ) from error
        yield record


def _readable(read: Callable[[Name], object], name: Name) -> bool:
    try:
        read(name)
    except DataError:
        return False
    return True
