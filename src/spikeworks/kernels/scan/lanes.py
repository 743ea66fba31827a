"""Layout and tables that the closed forms share.

A step holds *sites*, for instance ``[B, N]``. Coefficients broadcast over some axes of a step, so
sites that share their coefficients are the columns of one matrix product.

Legend: T steps, D groups of sites with coefficients of their own, M sites of such a group,
K modes, Q steps of a chunk, C chunks; ``*site`` the shape of a step.
"""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from ...core.errors import ShapeError


@dataclasses.dataclass(frozen=True)
class Lanes:
    """Sites of a step grouped by the coefficients that they share.

    Attributes:
        site: shape of a step.
        own: axes of a step along which coefficients differ.
    """

    site: tuple[int, ...]
    own: tuple[int, ...]

    @classmethod
    def of(cls, site: tuple[int, ...], coefficient: tuple[int, ...]) -> Lanes:
        """Group the sites for coefficients of a shape that broadcasts to ``site``.

        Raises:
            ShapeError: it does not broadcast.
        """
        aligned = (1,) * (len(site) - len(coefficient)) + tuple(coefficient)
        if len(aligned) != len(site) or any(a not in (1, s) for a, s in zip(aligned, site, strict=True)):
            raise ShapeError(
                f"A scan over steps of shape {list(site)} expected coefficients that broadcast to it, "
                f"got shape {list(coefficient)}."
            )
        return cls(tuple(site), tuple(i for i, n in enumerate(aligned) if n != 1))

    @property
    def shared(self) -> tuple[int, ...]:
        """Axes of a step over which coefficients are broadcast."""
        return tuple(i for i in range(len(self.site)) if i not in self.own)

    def split(self, x: Tensor) -> Tensor:
        """``[*lead, *site]`` to ``[D, *lead, M]``."""
        lead = x.dim() - len(self.site)
        order = [*(lead + i for i in self.own), *range(lead), *(lead + i for i in self.shared)]
        return x.permute(order).reshape(self._size(self.own), *x.shape[:lead], self._size(self.shared))

    def join(self, x: Tensor) -> Tensor:
        """``[D, *lead, M]`` back to ``[*lead, *site]``."""
        lead = x.dim() - 2
        unfolded = x.reshape(*(self.site[i] for i in self.own), *x.shape[1:-1], *(self.site[i] for i in self.shared))
        place = {i: k for k, i in enumerate(self.own)}
        place |= {i: len(self.own) + lead + k for k, i in enumerate(self.shared)}
        return unfolded.permute(*range(len(self.own), len(self.own) + lead), *(place[i] for i in range(len(self.site))))

    def coefficient(self, table: Tensor, lead: int) -> Tensor:
        """A table ``[*lead, ...]``, its rest a coefficient's shape, to ``[D, *lead]``."""
        leading, rest = table.shape[:lead], table.shape[lead:]
        aligned = table.reshape(*leading, *(1,) * (len(self.site) - len(rest)), *rest)
        order = [*(lead + i for i in self.own), *range(lead), *(lead + i for i in self.shared)]
        return aligned.permute(order).reshape(self._size(self.own), *leading)

    def _size(self, axes: tuple[int, ...]) -> int:
        return math.prod(self.site[i] for i in axes)


def powers(base: Tensor, count: int) -> Tensor:
    """``base ** t`` for t = 0 ... count-1, ``[count, *base]``, real or complex.

    Doubled up in double precision, ``base ** (s + t) = base ** s * base ** t``: a power t in
    single precision, or through the logarithm, would lose t times the rounding of one step.
    Nothing is divided, so a base of 0 is exact and has its gradient.
    """
    wide = widened(base)
    table, reach = torch.ones_like(wide).unsqueeze(0), wide
    while len(table) < count:
        reach = reach if len(table) == 1 else reach * reach
        table = torch.cat([table, table * reach])
    return table[:count].to(base.dtype)


def widened(x: Tensor) -> Tensor:
    """The same numbers in double precision, where the device has it."""
    if x.device.type == "mps":  # knows no float64
        return x
    return x.to(torch.complex128 if x.is_complex() else torch.float64)


def product(a: Tensor, b: Tensor) -> Tensor:
    """``a @ b`` at the precision of its factors.

    In single precision torch may be told to round factors to 10 or 7 bits (TF32, bfloat16). Potentials
    computed so would cross the threshold elsewhere; the product is then taken in double precision.
    """
    if a.dtype in (torch.float64, torch.complex128) or a.device.type == "mps":
        return a @ b
    backend: Any = torch.backends.cuda if a.device.type == "cuda" else torch.backends.mkldnn
    if backend.matmul.fp32_precision in ("none", "ieee"):
        return a @ b
    return (widened(a) @ widened(b)).to(a.dtype)


def toeplitz(column: Tensor) -> Tensor:
    """``[D, Q]`` to the lower triangular ``[D, Q, Q]`` with entries ``column[q - j]``."""
    length = column.shape[1]
    return functional.pad(column, (length - 1, 0)).unfold(1, length, 1).flip(2)


def fast_length(least: int) -> int:
    """The smallest length from ``least`` on whose prime factors are 2, 3 and 5."""
    length = least
    while True:
        rest = length
        for factor in (2, 3, 5):
            while rest % factor == 0:
                rest //= factor
        if rest == 1:
            return length
        length += 1
