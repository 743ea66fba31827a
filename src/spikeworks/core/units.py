"""Sizes in bytes as people write them."""

from __future__ import annotations

import re

from .errors import ConfigError

_FACTORS = {"": 1, "K": 10**3, "M": 10**6, "G": 10**9, "T": 10**12, "KI": 2**10, "MI": 2**20, "GI": 2**30, "TI": 2**40}
_FORM = re.compile(r"\s*([0-9]*\.?[0-9]+)\s*(|[KMGT]I?)B?\s*", re.IGNORECASE)


def parse_bytes(text: str | int) -> int:
    """Bytes from ``"2GB"``, ``"512 MiB"`` or a plain number.

    Raises:
        ConfigError: it is no positive size.

    Example:
        >>> parse_bytes("2GB"), parse_bytes("1.5 KiB"), parse_bytes(7)
        (2000000000, 1536, 7)
    """
    found = _FORM.fullmatch(str(text))
    size = round(float(found[1]) * _FACTORS[found[2].upper()]) if found else 0
    if size < 1:
        raise ConfigError(f"A size in bytes was expected, got {text!r}.", "write for instance 2GB, 512MiB or 4096")
    return size
