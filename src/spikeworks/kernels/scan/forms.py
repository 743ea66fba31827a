"""Which closed form a scan takes, and why: chosen by size and device, or asked for by name."""

from __future__ import annotations

import contextlib
import contextvars
from collections.abc import Iterator

from torch import Tensor

from ...core.errors import UnknownName

FAMILIES: dict[str, tuple[str, ...]] = {
    "linear": ("loop", "associative", "chunked", "direct", "fft"),
    "diagonal": ("loop", "associative", "chunked", "direct", "fft"),
    "modulo": ("loop", "associative", "chunked", "float64"),
    "window": ("shifted", "chunked", "fft"),
}
"""The forms of each kind of scan; all give the same result."""

CHUNK = 64
"""Steps that one matrix product covers."""
SHIFTED_TAPS = 16
"""Up to so many taps a filter is the sum of shifted inputs."""
CHUNKED_TAPS = 128
"""Up to so many taps it is banded matrix products; a Fourier transform above."""

_asked: contextvars.ContextVar[dict[str, str] | None] = contextvars.ContextVar("spikeworks_scan_forms", default=None)


@contextlib.contextmanager
def use_forms(**forms: str) -> Iterator[None]:
    """Take the named form of each named family inside the block, whatever is chosen otherwise.

    Example:
        >>> with use_forms(modulo="associative"):
        ...     asked_for("modulo"), asked_for("diagonal")
        ('associative', None)

    Raises:
        UnknownName: no such family or form.
    """
    for family, form in forms.items():
        if family not in FAMILIES:
            raise UnknownName("family of scans", family, FAMILIES)
        check_form(family, form)
    token = _asked.set({**(_asked.get() or {}), **forms})
    try:
        yield
    finally:
        _asked.reset(token)


def asked_for(family: str) -> str | None:
    """The form that :func:`use_forms` asks for, or ``None``."""
    return (_asked.get() or {}).get(family)


# what torch.compiler.assume_constant_result sets; to call it would load the compiler, half a second, at import
asked_for._dynamo_marked_constant = True  # type: ignore[attr-defined]


def check_form(family: str, form: str) -> None:
    """Raise UnknownName unless ``family`` has that form."""
    if form not in FAMILIES[family]:
        raise UnknownName(f"form of a {family} scan", form, FAMILIES[family])


def choose_form(family: str, *, steps: int, device: str = "cpu", window: int = 0) -> tuple[str, str]:
    """The form for a call, and why; all that are chosen take memory linear in T.

    The borders are measured on two processor cores by ``benchmarks/bench_scans.py``, which takes a
    device; batch and channels move all forms alike, so they are not asked.

    Args:
        family: linear, diagonal, modulo or window.
        steps: length of the sequence.
        device: kind of device, such as ``cpu`` or ``cuda``.
        window: taps of a filter.

    Example:
        >>> choose_form("diagonal", steps=1024)
        ('chunked', 'matrix products in chunks of 64, time and memory linear in T')
    """
    if family == "modulo":
        if device == "mps":
            return "associative", "the device has no float64"
        return "float64", "nearest to exact, and few passes"
    if family == "window":
        if window <= SHIFTED_TAPS:
            return "shifted", f"a window of {window} is short"
        if window <= CHUNKED_TAPS:
            return "chunked", f"banded matrix products in chunks of {CHUNK}"
        return "fft", f"a window of {window} is long"
    if steps <= CHUNK:
        return "direct", f"one matrix product covers {CHUNK} steps and fewer"
    return "chunked", f"matrix products in chunks of {CHUNK}, time and memory linear in T"


def planned_form(family: str, x: Tensor, window: int = 0) -> tuple[str, str]:
    """The form for an input ``[T, ...]``: what :func:`use_forms` asks for, else :func:`choose_form`."""
    asked = asked_for(family)
    if asked is not None:
        return asked, "asked for"
    return choose_form(family, steps=len(x), device=x.device.type, window=window)


def planned_forms(x: Tensor, *families: str, window: int = 0) -> tuple[str, str]:
    """The forms of several scans over one input, and the reasons, each in one line."""
    plans = {family: planned_form(family, x, window) for family in families}
    reasons = [f"{family} scan {form}: {reason}" for family, (form, reason) in plans.items()]
    return " + ".join(form for form, _ in plans.values()), "; ".join(reasons)
