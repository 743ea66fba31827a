"""Numbers as people read them: 12.3 k, 4.6 µJ, 1.5 MB, 68.2 ± 1.1 %.

Quantities come in one fixed unit (nJ, bytes, seconds) and leave with the prefix that keeps
one to three digits before the point. ``None`` and values that are not finite become ``"–"``.
"""

from __future__ import annotations

import math
from typing import TypeGuard

MISSING = "–"
_SPACE = "\u00a0"


def count(value: float | None) -> str:
    """Parameters, spikes: ``1.2 k``, ``3.4 M``; below 10,000 the exact digits.

    Example:
        >>> count(7713), count(1_234_567).split()
        ('7713', ['1.23', 'M'])
    """
    if not _usable(value):
        return MISSING
    if abs(value) < 10_000 and float(value).is_integer():
        return f"{value:.0f}"
    return _scaled(value, [(1.0, ""), (1e3, "k"), (1e6, "M"), (1e9, "G"), (1e12, "T")])


def energy(nanojoule: float | None) -> str:
    """Energy given in nJ.

    Example:
        >>> energy(0.25).split(), energy(1530.0).split()
        (['250', 'pJ'], ['1.53', 'µJ'])
    """
    return _scaled(nanojoule, [(1e-3, "pJ"), (1, "nJ"), (1e3, "µJ"), (1e6, "mJ"), (1e9, "J")])


def size(count_of_bytes: float | None) -> str:
    """Memory given in bytes, with decimal prefixes."""
    return _scaled(count_of_bytes, [(1, "B"), (1e3, "kB"), (1e6, "MB"), (1e9, "GB"), (1e12, "TB")])


def rate(per_second: float | None) -> str:
    """Samples per second."""
    return _scaled(per_second, [(1, "/s"), (1e3, "k/s"), (1e6, "M/s")])


def duration(seconds: float | None) -> str:
    """Time given in seconds: ``85 ms``, ``12.5 s``, ``3 min 20 s``, ``2 h 05 min``, ``2 h``."""
    if not _usable(seconds):
        return MISSING
    if seconds < 1:
        return _scaled(seconds, [(1e-6, "µs"), (1e-3, "ms")])
    if seconds < 99.95:
        return f"{_digits(seconds)}{_SPACE}s"
    large, small, names = *divmod(round(seconds), 60), ("min", "s")
    if large >= 60:
        large, small, names = *divmod(round(seconds / 60), 60), ("h", "min")
    text = f"{large}{_SPACE}{names[0]}"
    return f"{text} {small:02d}{_SPACE}{names[1]}" if small else text


def percent(fraction: float | None) -> str:
    """A share in percent, two digits after the point where it is small."""
    if not _usable(fraction):
        return MISSING
    value = 100 * fraction
    return f"{value:.{1 if abs(value) >= 1 or value == 0 else 2}f}{_SPACE}%"


def score(mean: float | None, spread: float | None = None, unit: str | None = None) -> str:
    """A score with its spread; fractions are shown in percent.

    Example:
        >>> score(0.6817, 0.0112, "fraction").split(), score(112.34)
        (['68.2', '±', '1.1', '%'], '112.3')
    """
    if not _usable(mean):
        return MISSING
    scale, suffix = (100.0, "%") if unit == "fraction" else (1.0, shown_unit(unit))
    places = 1 if unit == "fraction" else max(0, min(4, 3 - _exponent(mean)))
    text = f"{scale * mean:.{places}f}"
    if _usable(spread):
        text += f"{_SPACE}±{_SPACE}{scale * spread:.{places}f}"
    return text + (f"{_SPACE}{suffix}" if suffix else "")


def shown_unit(unit: str | None) -> str:
    """The unit to print behind a number: ``%`` for fractions, nothing for a bare ratio."""
    if unit == "fraction":
        return "%"
    return "" if unit in (None, "", "1", "ratio") else str(unit)


def _usable(value: float | None) -> TypeGuard[float]:
    return value is not None and math.isfinite(value)


def _exponent(value: float) -> int:
    return math.floor(math.log10(abs(value))) if value else 0


def _digits(value: float) -> str:
    """Three significant digits, never an exponent."""
    return f"{value:.{max(0, 2 - max(0, _exponent(value)))}f}"


def _scaled(value: float | None, steps: list[tuple[float, str]]) -> str:
    if not _usable(value):
        return MISSING
    factor, suffix = steps[0]
    for candidate, name in steps:
        if abs(value) >= 0.9995 * candidate:  # 999.6 rounds up into the next prefix
            factor, suffix = candidate, name
    text = "0" if value == 0 else _digits(value / factor)
    return f"{text}{_SPACE}{suffix}" if suffix else text
