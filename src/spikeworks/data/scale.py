"""Channels brought to mean 0 and deviation 1, by what the training split alone says.

Legend: ``C`` channels.
"""

from __future__ import annotations

import dataclasses

from torch import Tensor

from ..core.errors import DataError


@dataclasses.dataclass(frozen=True)
class Standardizer:
    """Mean and deviation of every channel, float64 ``[C]``.

    Example:
        >>> import torch
        >>> Standardizer.of(torch.tensor([[1.0], [3.0]]))(torch.tensor([[4.0]])).item()
        2.0
    """

    mean: Tensor
    deviation: Tensor

    @classmethod
    def of(cls, rows: Tensor) -> Standardizer:
        """From the steps of the training split ``[steps, C]``; a constant channel has deviation 1.

        Raises:
            DataError: values so large that their squares are no longer finite.
        """
        rows = rows.double()
        deviation = rows.std(0, correction=0)
        overflowing = (~deviation.isfinite()).nonzero().flatten()
        if len(overflowing):
            raise DataError(
                f"Channel {int(overflowing[0])} cannot be scaled: its values reach "
                f"{rows[:, overflowing[0]].abs().max().item():g}.",
                "a sign of a damaged file; check the largest values of this channel",
            )
        # A constant channel keeps some rounding in its deviation; dividing by that would blow it up.
        constant = rows.amax(0) == rows.amin(0)
        return cls(rows.mean(0), deviation.masked_fill(constant, 1.0))

    def __call__(self, rows: Tensor) -> Tensor:
        """Standardised steps ``[steps, C]``, float32."""
        return ((rows.double() - self.mean) / self.deviation).float()
