"""Surrogate derivatives: what stands for the derivative of the Heaviside step in backward.

A surrogate is a value, ``Surrogate("triangle", width=1.0)``. Every form is a row of
:data:`SURROGATES` with its derivative, its area and its peak. ``x`` is the distance of the
membrane potential from the threshold; the width is in units of that potential.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from ..core.errors import ConfigError
from ..core.registry import Registry

Derivative = Callable[[Tensor, float], Tensor]


@dataclasses.dataclass(frozen=True)
class SurrogateForm:
    """One row of the table.

    Attributes:
        derivative: ``(x, width) -> g(x)``, plain tensor arithmetic.
        area: integral of g over x, as a function of the width.
        peak: g(0), as a function of the width; it scales learning rates.
        source: where the form comes from.
    """

    derivative: Derivative
    area: Callable[[float], float]
    peak: Callable[[float], float]
    source: str


SURROGATES: Registry[SurrogateForm] = Registry("surrogate")


def _add(name: str, derivative: Derivative, area: Any, peak: Any, source: str) -> None:
    SURROGATES.register(name)(SurrogateForm(derivative, area, peak, source))


def _one(width: float) -> float:
    return 1.0


def _triangle(x: Tensor, width: float) -> Tensor:
    return torch.clamp(width - x.abs(), min=0.0) * (1.0 / width**2)


def _rectangle(x: Tensor, width: float) -> Tensor:
    return (x.abs() < 0.5 * width).to(x.dtype) * (1.0 / width)


def _sigmoid(x: Tensor, width: float) -> Tensor:
    s = torch.sigmoid(x * (4.0 / width))
    return s * (1.0 - s) * (4.0 / width)


def _arctan(x: Tensor, width: float) -> Tensor:
    z = x * (math.pi / width)
    return 1.0 / (width * (1.0 + z * z))


def _fast_sigmoid(x: Tensor, width: float) -> Tensor:
    z = 1.0 + x.abs() * (1.0 / width)
    return 1.0 / (z * z)


def _gaussian(x: Tensor, width: float) -> Tensor:
    z = x * (1.0 / width)
    return torch.exp(-(z * z)) * (1.0 / (width * math.sqrt(math.pi)))


def _double_exponential(x: Tensor, width: float) -> Tensor:
    return torch.exp(x.abs() * (-1.0 / width)) * (0.5 / width)


_GAIN, _DIP, _SPREAD = 0.5, 0.15, 6.0


def _bell(x: Tensor, sigma: float) -> Tensor:
    return torch.exp(x * x * (-0.5 / sigma**2))


def _multi_gaussian(x: Tensor, width: float) -> Tensor:
    wide = _SPREAD * width
    centre, side = ((_GAIN / (s * math.sqrt(2 * math.pi))) for s in (width, wide))
    sides = _bell(x - width, wide) + _bell(x + width, wide)
    return (1 + _DIP) * centre * _bell(x, width) - _DIP * side * sides


def _multi_gaussian_peak(width: float) -> float:
    return _multi_gaussian(torch.zeros((), dtype=torch.float64), width).item()


_add("triangle", _triangle, _one, lambda w: 1 / w, "piecewise linear; TC-LIF, GSN, PMSN, TET")
_add("rectangle", _rectangle, _one, lambda w: 1 / w, "STBP, arXiv 1706.02609")
_add("sigmoid", _sigmoid, _one, lambda w: 1 / w, "logistic derivative with slope 4 / width")
_add("arctan", _arctan, _one, lambda w: 1 / w, "PLIF, arXiv 2007.05785, with alpha = 2 / width")
_add("fast-sigmoid", _fast_sigmoid, lambda w: 2 * w, _one, "SuperSpike, arXiv 1705.11146, slope 1 / width")
_add("gaussian", _gaussian, _one, lambda w: 1 / (w * math.sqrt(math.pi)), "error function, alpha = 1 / width")
_add("double-exponential", _double_exponential, _one, lambda w: 0.5 / w, "SLAYER, arXiv 1810.08646")
_add(
    "multi-gaussian",
    _multi_gaussian,
    lambda w: _GAIN * (1 - _DIP),
    _multi_gaussian_peak,
    "SRNN, arXiv 2103.12593: gain .5, dip .15, spread 6, width is the inner sigma",
)
_add("straight-through", lambda x, width: torch.ones_like(x), lambda w: math.inf, _one, "g = 1 everywhere")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Surrogate:
    """A surrogate derivative, chosen by name.

    Args:
        kind: a name of :data:`SURROGATES`.
        width: its width in units of the membrane potential, above 0.

    Example:
        >>> Surrogate(kind="triangle", width=2.0).derivative(torch.tensor([0.0, 1.0, 3.0]))
        tensor([0.5000, 0.2500, 0.0000])

    Raises:
        UnknownName: no such form; ConfigError: the width is not positive.
    """

    kind: str = "triangle"
    width: float = 1.0

    def __post_init__(self) -> None:
        SURROGATES.get(self.kind)
        if not self.width > 0:
            raise ConfigError(f"The width of a surrogate must be above 0, got {self.width}.")

    @property
    def form(self) -> SurrogateForm:
        """The row of the table."""
        return SURROGATES.get(self.kind)

    def derivative(self, x: Tensor) -> Tensor:
        """g(x), of the shape and dtype of ``x``."""
        return self.form.derivative(x, self.width)


class _Spike(torch.autograd.Function):
    @staticmethod
    def forward(x: Tensor, surrogate: Surrogate) -> Tensor:
        return (x >= 0).to(x.dtype)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Surrogate], output: Tensor) -> None:
        x, ctx.surrogate = inputs
        ctx.save_for_backward(x)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:  # type: ignore[override]
        (x,) = ctx.saved_tensors
        return gradient * ctx.surrogate.derivative(x), None


def spike(x: Tensor, surrogate: Surrogate) -> Tensor:
    """1 where ``x >= 0``, else 0; backward multiplies by ``surrogate.derivative(x)``."""
    return _Spike.apply(x, surrogate)  # type: ignore[no-any-return]
