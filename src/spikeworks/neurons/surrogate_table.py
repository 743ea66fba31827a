"""The table of surrogate derivatives: one row a form, with its area, its peak and its source.

``x`` is the distance of the membrane potential from the threshold, ``width`` the scale of the
form in the same unit. Derivatives take ``sharpness = 1 / width``, a number or a scalar tensor,
so that a width that changes in training is one coefficient of a kernel; with a number, all
constants are folded before the kernel is written.

The piecewise quadratic form of some libraries, ``max(0, a - a^2 |x|)``, is ``triangle`` with
``width = 1 / a``.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable

import torch
from torch import Tensor

from ..core.registry import Registry

Sharpness = float | Tensor


@dataclasses.dataclass(frozen=True)
class Shape:
    """A second number of a form, beside its width.

    Attributes:
        default: its value where a surrogate names none.
        meaning: what it is, with its unit.
        low: its lower end; ``closed`` says whether the end itself is admitted.
    """

    default: float
    meaning: str
    low: float = 0.0
    closed: bool = False

    def admits(self, value: float) -> bool:
        """Whether the value lies in the range."""
        return math.isfinite(value) and (value >= self.low if self.closed else value > self.low)

    @property
    def range(self) -> str:
        """The range in words."""
        return f"{'at least' if self.closed else 'above'} {self.low:g}"


@dataclasses.dataclass(frozen=True, kw_only=True)
class SurrogateForm:
    """One row of the table.

    Attributes:
        derivative: ``(x, sharpness, shape) -> g(x)``, plain tensor arithmetic.
        area: ``(width, shape)`` to the integral of g over x, or infinity.
        peak: ``(width, shape)`` to g(0); it scales learning rates.
        source: where the form comes from.
        shape: the second number of the form, where it has one.
        symmetric: whether ``g(-x) = g(x)``.
        support: ``(width, shape)`` to the ends of the interval outside of which g is 0.
    """

    derivative: Callable[[Tensor, Sharpness, float], Tensor]
    area: Callable[[float, float], float]
    peak: Callable[[float, float], float]
    source: str
    shape: Shape | None = None
    symmetric: bool = True
    support: Callable[[float, float], tuple[float, float]] = lambda width, shape: (-math.inf, math.inf)


SURROGATES: Registry[SurrogateForm] = Registry("surrogate")


def _one(width: float, shape: float) -> float:
    return 1.0


def _endless(width: float, shape: float) -> float:
    return math.inf


def _inverse(width: float, shape: float) -> float:
    return 1.0 / width


def _triangle(x: Tensor, s: Sharpness, shape: float) -> Tensor:
    return torch.clamp(s - x.abs() * (s * s), min=0.0)


def _rectangle(x: Tensor, s: Sharpness, shape: float) -> Tensor:
    return (x.abs() < 0.5 / s).to(x.dtype) * s


def _sigmoid(x: Tensor, s: Sharpness, shape: float) -> Tensor:
    y = torch.sigmoid(x * (4.0 * s))
    return y * (1.0 - y) * (4.0 * s)


def _arctan(x: Tensor, s: Sharpness, shape: float) -> Tensor:
    z = x * (math.pi * s)
    return s / (1.0 + z * z)


def _fast_sigmoid(x: Tensor, s: Sharpness, shape: float) -> Tensor:
    z = 1.0 + x.abs() * s
    return 1.0 / (z * z)


def _soft_sign(x: Tensor, s: Sharpness, shape: float) -> Tensor:
    z = 1.0 + x.abs() * s
    return (0.5 * s) / (z * z)


def _gaussian(x: Tensor, s: Sharpness, shape: float) -> Tensor:
    return torch.exp(x * x * (-s * s)) * (s * (1.0 / math.sqrt(math.pi)))


def _double_exponential(x: Tensor, s: Sharpness, shape: float) -> Tensor:
    return torch.exp(x.abs() * -s) * (0.5 * s)


def _single_exponential(x: Tensor, s: Sharpness, shape: float) -> Tensor:
    return torch.exp(x.abs() * -s) * s


def _periodic_exponential(x: Tensor, s: Sharpness, period: float) -> Tensor:
    passed = torch.clamp(torch.round(x * (1.0 / period)), min=0.0)
    return torch.exp((x - passed * period).abs() * -s)


_GAIN, _DIP, _SPREAD = 0.5, 0.15, 6.0
_CENTRE = (1.0 + _DIP) * _GAIN / math.sqrt(2 * math.pi)
_SIDE = _DIP * _GAIN / (_SPREAD * math.sqrt(2 * math.pi))
_WIDE = -0.5 / _SPREAD**2


def _multi_gaussian(x: Tensor, s: Sharpness, shape: float) -> Tensor:
    z = x * s
    left, right = z + 1.0, z - 1.0
    sides = torch.exp(left * left * _WIDE) + torch.exp(right * right * _WIDE)
    return torch.exp(z * z * -0.5) * (_CENTRE * s) - sides * (_SIDE * s)


def _leaky(x: Tensor, s: Sharpness, leak: float) -> Tensor:
    return (x >= 0).to(x.dtype) * (1.0 - leak) + leak


def _piecewise_leaky(x: Tensor, s: Sharpness, leak: float) -> Tensor:
    return (x.abs() < 1.0 / s).to(x.dtype) * (0.5 * s - leak) + leak


def _s2nn(x: Tensor, s: Sharpness, height: float) -> Tensor:
    return torch.where(x < 0, _sigmoid(x, s, 0.0), height / (1.0 + x.abs()))


def _q_pseudo_spike(x: Tensor, s: Sharpness, q: float) -> Tensor:
    return (1.0 + x.abs() * (s * (2.0 / (q - 1.0)))).pow(-q)


def _multi_level(x: Tensor, s: Sharpness, levels: float) -> Tensor:
    z = x * s
    return ((z >= -1.0) & (z <= levels - 1.0)).to(x.dtype)


def _straight_through(x: Tensor, s: Sharpness, shape: float) -> Tensor:
    return torch.ones_like(x)


_ROWS: dict[str, SurrogateForm] = {
    "triangle": SurrogateForm(
        derivative=_triangle,
        area=_one,
        peak=_inverse,
        support=lambda w, _: (-w, w),
        source="piecewise linear, also called piecewise quadratic; TC-LIF, GSN, PMSN, TET",
    ),
    "rectangle": SurrogateForm(
        derivative=_rectangle,
        area=_one,
        peak=_inverse,
        support=lambda w, _: (-w / 2, w / 2),
        source="STBP, arXiv 1706.02609",
    ),
    "sigmoid": SurrogateForm(
        derivative=_sigmoid, area=_one, peak=_inverse, source="logistic derivative with slope 4 / width"
    ),
    "arctan": SurrogateForm(
        derivative=_arctan, area=_one, peak=_inverse, source="PLIF, arXiv 2007.05785, with alpha = 2 / width"
    ),
    "fast-sigmoid": SurrogateForm(
        derivative=_fast_sigmoid,
        area=lambda w, _: 2 * w,
        peak=_one,
        source="SuperSpike, arXiv 1705.11146, slope 1 / width",
    ),
    "soft-sign": SurrogateForm(
        derivative=_soft_sign, area=_one, peak=lambda w, _: 0.5 / w, source="SpikingJelly, alpha = 1 / width"
    ),
    "gaussian": SurrogateForm(
        derivative=_gaussian,
        area=_one,
        peak=lambda w, _: 1 / (w * math.sqrt(math.pi)),
        source="error function, alpha = 1 / width",
    ),
    "double-exponential": SurrogateForm(
        derivative=_double_exponential, area=_one, peak=lambda w, _: 0.5 / w, source="SLAYER, arXiv 1810.08646"
    ),
    "multi-gaussian": SurrogateForm(
        derivative=_multi_gaussian,
        area=lambda w, _: _GAIN * (1 - _DIP),
        peak=lambda w, _: (_CENTRE - 2 * _SIDE * math.exp(_WIDE)) / w,
        source="SRNN, arXiv 2103.12593: gain .5, dip .15, spread 6, width is the inner sigma",
    ),
    "leaky": SurrogateForm(
        derivative=_leaky,
        area=_endless,
        peak=_one,
        symmetric=False,
        shape=Shape(0.1, "derivative below the threshold", closed=True),
        source="leaky spike operator of snntorch (LSO); no width",
    ),
    "piecewise-leaky": SurrogateForm(
        derivative=_piecewise_leaky,
        area=lambda w, leak: math.inf if leak else 1.0,
        peak=lambda w, _: 0.5 / w,
        shape=Shape(0.01, "derivative outside of the width", closed=True),
        source="piecewise leaky ReLU of SpikingJelly; width is half of the box",
    ),
    "s2nn": SurrogateForm(
        derivative=_s2nn,
        area=_endless,
        peak=lambda w, height: height,
        symmetric=False,
        shape=Shape(1.0, "derivative at the threshold, from where it falls as height / (1 + x)"),
        source="S2NN of SpikingJelly; below the threshold the sigmoid row, alpha = 4 / width",
    ),
    "q-pseudo-spike": SurrogateForm(
        derivative=_q_pseudo_spike,
        area=lambda w, _: w,
        peak=_one,
        shape=Shape(2.0, "q, the power with which the tail falls", low=1.0),
        source="arXiv 2202.00282",
    ),
    "single-exponential": SurrogateForm(
        derivative=_single_exponential,
        area=lambda w, _: 2.0,
        peak=_inverse,
        source="Sinabs, with width .5 thresholds; twice the double exponential",
    ),
    "periodic-exponential": SurrogateForm(
        derivative=_periodic_exponential,
        area=_endless,
        peak=_one,
        symmetric=False,
        shape=Shape(1.0, "distance of the peaks above the threshold, in units of the potential"),
        source="Sinabs, for neurons that send several spikes a step",
    ),
    "multi-level": SurrogateForm(
        derivative=_multi_level,
        area=lambda w, levels: levels * w,
        peak=_one,
        symmetric=False,
        shape=Shape(4.0, "number of levels D: g is 1 from one width below the threshold on, for D widths"),
        support=lambda w, levels: (-w, (levels - 1) * w),
        source="straight-through inside the range of an integer neuron, I-LIF; width is the threshold",
    ),
    "straight-through": SurrogateForm(
        derivative=_straight_through, area=_endless, peak=_one, source="g = 1 everywhere; no width"
    ),
}

for _name, _row in _ROWS.items():
    SURROGATES.register(_name)(_row)
