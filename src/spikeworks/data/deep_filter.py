"""What a denoiser's answers do to a noisy spectrum: masks, and filters over a few frames.

Every form starts at the identity: where all numbers of an answer are 0 the noisy spectrum passes.

Legend: ``T`` frames, ``B`` batch, ``F`` frequencies, ``d`` taps.
"""

from __future__ import annotations

import dataclasses
import math
from typing import Literal, get_args

import torch
from torch import Tensor
from torch.nn import functional

from ..core.errors import ConfigError

MaskKind = Literal["magnitude", "complex"]
_ONE = math.log(math.e - 1)  # softplus of it is 1


@dataclasses.dataclass(frozen=True)
class Mask:
    """How ``answer [T, B, outputs]`` shapes ``spectrum [T, B, F]``.

    - ``magnitude``, F numbers y a frame: ``softplus(y + log(e - 1)) X``, never negative.
    - ``complex``, ``2 F d`` numbers, read as ``[2, F, d]``, real parts first and the oldest tap first: the filter
      ``sum_n H_n[t] X[t - d + 1 + n]`` with ``H_{d-1} = 1 + y`` for the present frame and ``H_n = y`` for those before
      it; with one tap a complex mask. No frame looks ahead.

    Raises:
        ConfigError: no such kind, or taps that it does not have.

    Source of the filters: deep filtering, arXiv 1904.08369, as in arXiv 2410.04785.

    Example:
        >>> spectrum = torch.randn(5, 1, 9, dtype=torch.complex64)
        >>> same, _ = Mask("complex", 3)(spectrum, torch.zeros(5, 1, 54))
        >>> bool((same == spectrum).all())
        True
    """

    kind: MaskKind = "magnitude"
    taps: int = 1

    def __post_init__(self) -> None:
        if self.kind not in get_args(MaskKind):
            raise ConfigError(f"A mask is 'magnitude' or 'complex', got {self.kind!r}.")
        if self.taps < 1 or (self.kind == "magnitude" and self.taps != 1):
            raise ConfigError(
                f"A complex mask has at least one tap and a magnitude mask exactly one, got taps={self.taps} for "
                f"{self.kind}."
            )

    def outputs(self, bins: int) -> int:
        """Numbers of an answer for F frequencies."""
        return bins if self.kind == "magnitude" else 2 * bins * self.taps

    def __call__(self, spectrum: Tensor, answer: Tensor, before: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """The shaped spectrum, and what the next chunk of it needs.

        Args:
            spectrum: complex ``[T, B, F]``.
            answer: ``[T, B, outputs]``.
            before: the last ``d - 1`` frames of the spectrum so far, ``[d - 1, B, F]``; ``None``: silence.
        """
        if self.kind == "magnitude":
            return spectrum * functional.softplus(answer + _ONE), spectrum[:0]
        real, imaginary = answer.unflatten(2, (2, spectrum.shape[2], self.taps)).unbind(2)
        held = spectrum.new_zeros(self.taps - 1, *spectrum.shape[1:]) if before is None else before
        heard = torch.cat([held, spectrum])
        shaped = spectrum
        for tap in range(self.taps):
            shaped = shaped + torch.complex(real[..., tap], imaginary[..., tap]) * heard[tap : tap + len(spectrum)]
        return shaped, heard[len(heard) - self.taps + 1 :]
