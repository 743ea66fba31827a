"""Every error that spikeworks raises on purpose: what was expected, what came, what to do.

All of them derive from :class:`SpikeworksError`; the command line prints their message
without a traceback and exits with code 2.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class SpikeworksError(Exception):
    """Base of all errors caused by input that spikeworks cannot use."""

    def __init__(self, message: str, hint: str | None = None) -> None:
        super().__init__(message if hint is None else f"{message}\n  Hint: {hint}")


class ShapeError(SpikeworksError, ValueError):
    """A tensor has the wrong shape or dtype."""


class ConfigError(SpikeworksError, ValueError):
    """A configuration value is out of range or of the wrong kind."""


class UnknownName(SpikeworksError, KeyError):
    """A name is not registered; the message suggests the nearest ones."""

    def __init__(self, what: str, name: str, known: Iterable[str], hint: str | None = None) -> None:
        known = sorted(known)
        close = difflib.get_close_matches(name, known, n=3, cutoff=0.5)
        meant = f" Did you mean {' or '.join(repr(c) for c in close)}?" if close else ""
        listed = f" Known: {', '.join(known)}." if known else " None is registered."
        super().__init__(f"{what} '{name}' is not registered.{meant}{listed}", hint)

    def __str__(self) -> str:  # KeyError would print the repr of the message
        return str(self.args[0])


class DataError(SpikeworksError):
    """Data is missing, damaged, or holds values that training cannot use."""


class TraceError(SpikeworksError):
    """A neuron's step cannot be turned into an elementwise graph."""


class KernelError(SpikeworksError):
    """A kernel could not be built or was called wrongly."""


class RunError(SpikeworksError):
    """A run directory cannot be read, written or resumed."""


class TrainingDiverged(SpikeworksError):
    """The loss is no longer a finite number."""
