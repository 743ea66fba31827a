"""Surrogate derivatives: what stands for the derivative of the Heaviside step in backward.

A surrogate is a value, ``Surrogate(kind="triangle", width=1.0)``; the forms are the rows of
:data:`~spikeworks.neurons.surrogate_table.SURROGATES`.
"""

from __future__ import annotations

import dataclasses
import math
from typing import Any, Literal

import torch
from torch import Tensor

from ..core.errors import ConfigError
from .surrogate_table import SURROGATES, SurrogateForm


@dataclasses.dataclass(frozen=True, kw_only=True)
class WidthSchedule:
    """A width that changes in training, from the surrogate's own ``width`` to ``stop``.

    Args:
        stop: the width at the end, above 0, in units of the membrane potential.
        kind: ``linear`` in the width, ``exponential`` (a constant factor an update), or
            ``cosine`` (slow at both ends).
        over: the part of training, in (0, 1], after which ``stop`` is reached and kept.

    Example:
        >>> WidthSchedule(stop=0.25, kind="exponential").width(start=1.0, progress=0.5)
        0.5

    Raises:
        ConfigError: a value out of its range.
    """

    stop: float = 0.5
    kind: Literal["linear", "exponential", "cosine"] = "linear"
    over: float = 1.0

    def __post_init__(self) -> None:
        if not (self.stop > 0 and math.isfinite(self.stop)):
            raise ConfigError(f"A width schedule must stop above 0, got stop={self.stop}.")
        if not 0 < self.over <= 1:
            raise ConfigError(f"A width schedule runs over a part of training in (0, 1], got over={self.over}.")
        if self.kind not in ("linear", "exponential", "cosine"):
            raise ConfigError(f"A width schedule is linear, exponential or cosine, got {self.kind!r}.")

    def width(self, start: float, progress: float) -> float:
        """The width after the part ``progress`` of training, 0 at its start and 1 at its end."""
        part = min(max(progress / self.over, 0.0), 1.0)
        if self.kind == "exponential":
            return start ** (1.0 - part) * self.stop**part
        if self.kind == "cosine":
            part = 0.5 - 0.5 * math.cos(math.pi * part)
        return start + (self.stop - start) * part


@dataclasses.dataclass(frozen=True, kw_only=True)
class Surrogate:
    """A surrogate derivative, chosen by name.

    Args:
        kind: a name of :data:`SURROGATES`.
        width: its width in units of the membrane potential, above 0.
        shape: the second number of the forms that have one, such as the leak of ``leaky``;
            ``None`` is the form's default.
        schedule: how the width changes in training; ``None`` keeps it. The width is then a
            coefficient of the kernels, which are built once.

    Example:
        >>> Surrogate(kind="triangle", width=2.0).derivative(torch.tensor([0.0, 1.0, 3.0]))
        tensor([0.5000, 0.2500, 0.0000])

    Raises:
        UnknownName: no such form; ConfigError: the width is not positive, or the form has no
            second number or not this one.
    """

    kind: str = "triangle"
    width: float = 1.0
    shape: float | None = None
    schedule: WidthSchedule | None = None

    def __post_init__(self) -> None:
        form = SURROGATES.get(self.kind)
        if not (self.width > 0 and math.isfinite(self.width)):
            raise ConfigError(f"The width of a surrogate must be above 0, got {self.width}.")
        if self.shape is not None and form.shape is None:
            raise ConfigError(f"The surrogate '{self.kind}' has a width alone, got shape={self.shape:g}.")
        if self.shape is not None and form.shape is not None and not form.shape.admits(self.shape):
            raise ConfigError(
                f"The shape of the surrogate '{self.kind}' ({form.shape.meaning}) must be {form.shape.range}, "
                f"got {self.shape:g}."
            )

    @property
    def form(self) -> SurrogateForm:
        """The row of the table."""
        return SURROGATES.get(self.kind)

    @property
    def second(self) -> float:
        """The second number of the form in use; 0 where it has none."""
        if self.shape is not None:
            return self.shape
        return 0.0 if self.form.shape is None else self.form.shape.default

    @property
    def area(self) -> float:
        """Integral of the derivative."""
        return self.form.area(self.width, self.second)

    @property
    def peak(self) -> float:
        """The derivative at the threshold."""
        return self.form.peak(self.width, self.second)

    def derivative(self, x: Tensor, sharpness: Tensor | None = None) -> Tensor:
        """g(x), of the shape and dtype of ``x``.

        Args:
            x: distance from the threshold, any shape.
            sharpness: ``1 / width`` as a scalar tensor, where the width changes in training.
        """
        return self.form.derivative(x, 1.0 / self.width if sharpness is None else sharpness, self.second)


class _Spike(torch.autograd.Function):
    generate_vmap_rule = True

    @staticmethod
    def forward(x: Tensor, surrogate: Surrogate, sharpness: Tensor | None) -> Tensor:
        return (x >= 0).to(x.dtype)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Surrogate, Tensor | None], output: Tensor) -> None:
        x, ctx.surrogate, sharpness = inputs
        ctx.save_for_backward(x, sharpness)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:  # type: ignore[override]
        x, sharpness = ctx.saved_tensors
        return gradient * ctx.surrogate.derivative(x, sharpness), None, None


def spike(x: Tensor, surrogate: Surrogate, sharpness: Tensor | None = None) -> Tensor:
    """1 where ``x >= 0``, else 0; backward multiplies by ``surrogate.derivative(x, sharpness)``."""
    return _Spike.apply(x, surrogate, sharpness)  # type: ignore[no-any-return]
