"""Fixed splits and fixed orders, from hashes and from a frozen random stream.

Which part a sample falls into depends on a seed and the sample's own key alone, through
SHA-256: no random generator, no order of files, the same on every machine and version.
"""

from __future__ import annotations

import hashlib
from collections.abc import Hashable, Sequence

import numpy as np
import torch
from torch import Tensor

from ..core.errors import ConfigError, DataError


def hash_order(keys: Sequence[str | int], seed: int) -> list[int]:
    """Positions of ``keys`` in the order of the SHA-256 of seed and key.

    Example:
        >>> sorted(hash_order(["a", "b", "c"], seed=0))
        [0, 1, 2]
    """
    digests = [hashlib.sha256(f"{seed}/{key}".encode()).digest() for key in keys]
    return sorted(range(len(digests)), key=digests.__getitem__)


def stratified_split(
    labels: Sequence[Hashable], keys: Sequence[str | int], fractions: Sequence[float], seed: int, who: str = "the data"
) -> list[list[int]]:
    """Cut every class in the same proportions.

    Within a class the samples stand in the order of :func:`hash_order`; each part takes
    ``round(fraction * n)`` of them, at least one, and the rest is returned last.

    Args:
        labels: the class of each sample.
        keys: what identifies each sample; distinct.
        fractions: share of each part but the last, which takes the rest.
        seed: another seed, another split.
        who: the data set, for the message.

    Returns:
        ``len(fractions) + 1`` lists of positions, each ascending.

    Raises:
        DataError: a class has fewer samples than there are parts.
    """
    parts: list[list[int]] = [[] for _ in range(len(fractions) + 1)]
    for label, members in _by_class(labels, keys, seed).items():
        if len(members) < len(parts):
            raise DataError(
                f"{who}: class {label!r} has {len(members)} sample(s); at least {len(parts)} are needed, "
                "one for each of training, validation and test.",
                "add cases of this class or remove it",
            )
        start = 0
        for part, fraction in zip(parts, fractions, strict=False):
            take = max(1, round(fraction * len(members)))
            part.extend(members[start : start + take])
            start += take
        if start >= len(members):
            raise ConfigError(f"{who}: the fractions {list(fractions)} leave nothing of class {label!r} for training.")
        parts[-1].extend(members[start:])
    return [sorted(part) for part in parts]


def stratified_subset(labels: Sequence[Hashable], size: int, seed: int, who: str = "the data") -> list[int]:
    """Exactly ``size`` positions with the proportions of the classes kept (largest remainder).

    Raises:
        ConfigError: ``size`` is not between 1 and the number of samples.
    """
    if not 1 <= size <= len(labels):
        raise ConfigError(f"{who}: expected a size from 1 to {len(labels)}, got {size}.")
    groups = list(_by_class(labels, range(len(labels)), seed).values())
    exact = [len(members) * size / len(labels) for members in groups]
    take = [int(share) for share in exact]
    by_remainder = sorted(range(len(groups)), key=lambda g: (take[g] - exact[g], g))
    for group in by_remainder[: size - sum(take)]:
        take[group] += 1
    return sorted(i for members, count in zip(groups, take, strict=True) for i in members[:count])


def stratified_part_of(
    index: Sequence[int], labels: Sequence[Hashable], size: int | None, seed: int, who: str = "the data"
) -> list[int]:
    """``size`` of the positions ``index`` with the proportions of their classes kept; ``None``: all of them.

    Args:
        index: positions in ``labels``.
        labels: classes of all samples.
        size, seed, who: as for :func:`stratified_subset`.

    Raises:
        ConfigError: ``size`` is not between 1 and the number of positions.
    """
    if size is None:
        return list(index)
    return [index[i] for i in stratified_subset([labels[i] for i in index], size, seed, who)]


def stratified_parts(
    labels: Sequence[Hashable], sizes: Sequence[int], seed: int, who: str = "the data"
) -> list[list[int]]:
    """Parts of exactly ``sizes``, one taken after the other from what remains, and the rest last."""
    rest = list(range(len(labels)))
    parts = []
    for size in sizes:
        chosen = {rest[i] for i in stratified_subset([labels[i] for i in rest], size, seed, who)}
        parts.append(sorted(chosen))
        rest = [i for i in rest if i not in chosen]
    return [*parts, rest]


def fixed_permutation(size: int, seed: int) -> Tensor:
    """A fixed order of ``size`` positions, int64.

    Drawn by NumPy's legacy ``RandomState``, whose stream its authors keep frozen for good, so
    that a permuted task is the same task in every version.

    Example:
        >>> fixed_permutation(5, seed=1234).tolist()
        [4, 0, 1, 2, 3]
    """
    return torch.from_numpy(np.random.RandomState(seed).permutation(size).astype(np.int64))


def _by_class(labels: Sequence[Hashable], keys: Sequence[str | int], seed: int) -> dict[Hashable, list[int]]:
    groups: dict[Hashable, list[int]] = {}
    for position in hash_order(keys, seed):
        groups.setdefault(labels[position], []).append(position)
    return groups
