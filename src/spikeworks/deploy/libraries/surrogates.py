"""Surrogate derivatives under the names and numbers of other libraries."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from typing import Any

from ...neurons import Surrogate
from .match import Call

Arguments = dict[str, Any]


@dataclasses.dataclass(frozen=True)
class Row:
    """One form of a library.

    Attributes:
        kind: its name here.
        path: its class or function there.
        there: the arguments there for a surrogate here, or ``None`` where that width has none.
        here: the surrogate for the arguments there.
    """

    kind: str
    path: str
    there: Callable[[Surrogate], Arguments | None]
    here: Callable[[Arguments], Surrogate]


def _scaled(kind: str, path: str, name: str, factor: float, default: float) -> Row:
    """A form with one number that is ``factor / width``."""
    return Row(
        kind,
        path,
        lambda s: {name: factor / s.width},
        lambda a: Surrogate(kind=kind, width=factor / a.get(name, default)),
    )


_SJ = "spikingjelly.activation_based.surrogate."
_SN = "snntorch.surrogate."
_SI = "sinabs.activation."

SPIKINGJELLY = [
    _scaled("triangle", _SJ + "PiecewiseQuadratic", "alpha", 1.0, 1.0),
    _scaled("sigmoid", _SJ + "Sigmoid", "alpha", 4.0, 4.0),
    _scaled("arctan", _SJ + "ATan", "alpha", 2.0, 2.0),
    _scaled("soft-sign", _SJ + "SoftSign", "alpha", 1.0, 2.0),
    _scaled("gaussian", _SJ + "Erf", "alpha", 1.0, 2.0),
    _scaled("rectangle", _SJ + "Rect", "alpha", 1.0, 1.0),
    _scaled("double-exponential", _SJ + "PiecewiseExp", "alpha", 1.0, 1.0),
    Row(
        "piecewise-leaky",
        _SJ + "PiecewiseLeakyReLU",
        lambda s: {"w": s.width, "c": s.second},
        lambda a: Surrogate(kind="piecewise-leaky", width=a.get("w", 1.0), shape=a.get("c", 0.01)),
    ),
    Row(
        "s2nn",
        _SJ + "S2NN",
        lambda s: {"alpha": 4.0 / s.width, "beta": s.second},
        lambda a: Surrogate(kind="s2nn", width=4.0 / a.get("alpha", 4.0), shape=a.get("beta", 1.0)),
    ),
    Row(
        "q-pseudo-spike",
        _SJ + "QPseudoSpike",
        lambda s: {"alpha": s.second} if s.width == 1.0 else None,
        lambda a: Surrogate(kind="q-pseudo-spike", shape=a.get("alpha", 2.0)),
    ),
    Row(
        "leaky",
        _SJ + "LeakyKReLU",
        lambda s: {"leak": s.second, "k": 1.0},
        lambda a: Surrogate(kind="leaky", shape=a.get("leak", 0.0)),
    ),
]
SNNTORCH = [
    _scaled("arctan", _SN + "atan", "alpha", 2.0, 2.0),
    _scaled("sigmoid", _SN + "sigmoid", "slope", 4.0, 25.0),
    _scaled("fast-sigmoid", _SN + "fast_sigmoid", "slope", 1.0, 25.0),
]
SINABS = [
    Row(
        "single-exponential",
        _SI + "SingleExponential",
        lambda s: {"grad_width": s.width, "grad_scale": 1.0},
        lambda a: Surrogate(kind="single-exponential", width=a.get("grad_width", 0.5)),
    ),
    Row(
        "double-exponential",
        _SI + "SingleExponential",
        lambda s: {"grad_width": s.width, "grad_scale": 0.5},
        lambda a: Surrogate(kind="double-exponential", width=a.get("grad_width", 0.5)),
    ),
    Row(
        "gaussian",
        _SI + "Gaussian",
        lambda s: {"sigma": s.width / math.sqrt(2.0)},
        lambda a: Surrogate(kind="gaussian", width=math.sqrt(2.0) * a.get("sigma", 0.5)),
    ),
    Row(
        "multi-gaussian",
        _SI + "MultiGaussian",
        lambda s: {"sigma": s.width, "grad_scale": 0.5},
        lambda a: Surrogate(kind="multi-gaussian", width=a.get("sigma", 0.5)),
    ),
]
ROWS = {"SpikingJelly": SPIKINGJELLY, "snnTorch": SNNTORCH, "Sinabs": SINABS}


def there(surrogate: Surrogate, library: str, *, unit: float = 1.0) -> tuple[Call | None, tuple[str, ...]]:
    """The surrogate in a library, or ``None`` and a sentence that says so.

    Args:
        surrogate: here.
        library: a key of :data:`ROWS`.
        unit: the potential that the library takes as 1 for widths; Sinabs' exponentials take the threshold.
    """
    for row in ROWS[library]:
        if row.kind == surrogate.kind:
            scaled = (
                dataclasses.replace(surrogate, width=surrogate.width / unit) if "exponential" in row.kind else surrogate
            )
            arguments = row.there(scaled)
            if arguments is not None:
                return Call(row.path, arguments), ()
    told = f"{library} has no surrogate '{surrogate.kind}' of width {surrogate.width:g}: gradients differ"
    return None, (told,)


def here(call: Call | None, default: Surrogate, *, unit: float = 1.0) -> tuple[Surrogate, tuple[str, ...]]:
    """The surrogate of a library's call; the default, with a sentence, where it is not known."""
    if call is None:
        return default, ()
    rows = [row for table in ROWS.values() for row in table if row.path == call.path]
    if "grad_scale" in call.arguments and len(rows) > 1:
        rows = [row for row in rows if (row.kind == "double-exponential") == (call.arguments["grad_scale"] == 0.5)]
    if not rows or not _expressible(rows[0], call):
        return default, (f"{call} is not known here: gradients differ",)
    found = rows[0].here(call.arguments)
    return (dataclasses.replace(found, width=found.width * unit) if "exponential" in found.kind else found), ()


def _expressible(row: Row, call: Call) -> bool:
    """Whether the arguments say nothing beyond what the form here can."""
    back = row.there(row.here(call.arguments))
    return back is not None and all(
        key in back and math.isclose(back[key], value, rel_tol=1e-9) for key, value in call.arguments.items()
    )
