"""The guard of every split: no subject, file, recording or window on two sides.

A loader calls these where its splits are made, so that a split that leaks cannot be built:
:func:`check_disjoint` for whatever has a name, :func:`check_spans_disjoint` for windows cut
from longer recordings, which leak as soon as they share one sample.

Example:
    >>> check_disjoint({"train": [1, 2], "validation": [3], "test": [4]}, what="subject")
    >>> check_spans_disjoint({"train": [("a", 0, 200)], "test": [("a", 200, 400), ("b", 0, 200)]})
"""

from __future__ import annotations

import bisect
from collections.abc import Hashable, Iterable, Mapping, Sequence
from itertools import combinations

from ..core.errors import DataError
from .splits import hash_order

Span = tuple[Hashable, int, int]
"""A stretch of a recording: its name, the first sample, the one behind the last."""

_LISTED = 5  # names in a message before it says "and so many more"
_HINT = "a score on such a split measures memory of the training data; give every {what} to one split only"


def check_disjoint(parts: Mapping[str, Iterable[Hashable]], what: str, who: str = "the data") -> None:
    """Raise unless no key stands in two parts; within one part a key may stand many times.

    Args:
        parts: the keys of each split, for instance the subject of each of its samples.
        what: what a key is: ``"subject"``, ``"file"``, ``"session"``.
        who: the data set, for the message.

    Raises:
        DataError: names the two parts, how many keys they share, and the first of them.
    """
    keys = {name: set(members) for name, members in parts.items()}
    for one, other in combinations(keys, 2):
        shared = keys[one] & keys[other]
        if shared:
            raise DataError(
                f"{who}: the splits {one} and {other} share {len(shared)} {what}(s): {_listing(shared)}.",
                _HINT.format(what=what),
            )


def check_spans_disjoint(parts: Mapping[str, Iterable[Span]], what: str = "window", who: str = "the data") -> None:
    """Raise unless no sample of a recording lies in windows of two parts; those of one part may overlap.

    Args:
        parts: the windows of each split as (recording, start, stop), ``stop`` exclusive.
        what: what a span is, for the message.
        who: the data set, for the message.

    Raises:
        DataError: an empty span, or two parts that share samples; names how many windows of the
            second part are touched, and the first pair.
    """
    spans = {name: list(members) for name, members in parts.items()}
    for name, members in spans.items():
        for recording, start, stop in members:
            if stop <= start:
                raise DataError(f"{who}: a {what} of {name} in {recording!r} runs from {start} to {stop}: it is empty.")
    for one, other in combinations(spans, 2):
        touched = _touched(spans[other], spans[one])
        if touched:
            (recording, start, stop), (first, last) = touched[0]
            raise DataError(
                f"{who}: {len(touched)} of {len(spans[other])} {what}s of {other} share samples with {one}; the first: "
                f"{recording!r} {start} to {stop} overlaps {first} to {last}.",
                _HINT.format(what=what),
            )


def split_groups(
    groups: Sequence[str | int], test: float, validation: float, seed: int, what: str, who: str = "the data"
) -> dict[str, list[str | int]]:
    """Give every group (a subject, a speaker, a file) to one split, by the hash of its name.

    Args:
        groups: their names, in any order and as often as you like.
        test, validation: shares of the groups, each at least one group; the rest is training.
        seed: another number, another split.
        what: what a group is, for the message.
        who: the data set, for the message.

    Returns:
        The groups of ``"train"``, ``"validation"`` and ``"test"``.

    Raises:
        DataError: fewer than three groups, or shares that leave nothing for training.

    Example:
        >>> parts = split_groups(range(10), test=0.2, validation=0.1, seed=0, what="subject")
        >>> {name: len(members) for name, members in parts.items()}
        {'train': 7, 'validation': 1, 'test': 2}
    """
    distinct = sorted(set(groups), key=str)
    order = [distinct[i] for i in hash_order(distinct, seed)]
    first = max(1, round(test * len(order)))
    second = first + max(1, round(validation * len(order)))
    if second >= len(order):
        raise DataError(
            f"{who}: {len(order)} {what}(s) cannot be split into training, validation and test with shares of "
            f"{validation:g} for validation and {test:g} for test.",
            f"at least three {what}s are needed, one for each split",
        )
    return {"train": order[second:], "validation": order[first:second], "test": order[:first]}


def shared_windows(spans: Iterable[Span], others: Iterable[Span]) -> int:
    """How many of ``spans`` share at least one sample with any of ``others``: the leak of a published split.

    Example:
        >>> shared_windows([("a", 0, 10), ("a", 10, 20)], others=[("a", 15, 25)])
        1
    """
    return len(_touched(list(spans), list(others)))


def _touched(spans: list[Span], others: list[Span]) -> list[tuple[Span, tuple[int, int]]]:
    """Those of ``spans`` that overlap ``others``, each with the stretch that it meets first."""
    covered = _covered(others)
    return [(span, hit) for span in spans if (hit := _first_hit(covered, span)) is not None]


def _covered(spans: list[Span]) -> dict[Hashable, list[tuple[int, int]]]:
    """The samples of each recording that lie in any span: disjoint stretches in order."""
    covered: dict[Hashable, list[tuple[int, int]]] = {}
    for recording, start, stop in sorted(spans, key=lambda span: span[1]):
        stretches = covered.setdefault(recording, [])
        if stretches and start <= stretches[-1][1]:
            stretches[-1] = (stretches[-1][0], max(stop, stretches[-1][1]))
        else:
            stretches.append((start, stop))
    return covered


def _first_hit(covered: dict[Hashable, list[tuple[int, int]]], span: Span) -> tuple[int, int] | None:
    recording, start, stop = span
    stretches = covered.get(recording, [])
    at = bisect.bisect_right(stretches, start, key=lambda stretch: stretch[1])  # the first that ends behind start
    return stretches[at] if at < len(stretches) and stretches[at][0] < stop else None


def _listing(keys: set[Hashable]) -> str:
    names = sorted(map(str, keys))
    more = f" and {len(names) - _LISTED} more" if len(names) > _LISTED else ""
    return ", ".join(names[:_LISTED]) + more
