"""From weights and delays to the taps of a causal filter.

A synapse with weight w and delay d adds ``w x[t - d]``. While it learns, the delay is a real
number and its tap is spread over the neighbouring steps by a Gaussian, which gives the delay a
gradient; as deployed it is rounded to a step.

Source: dilated convolutions with learnable spacings in time (arXiv 2306.17670, Gaussian form of
arXiv 2306.00817). There a position p counts from the middle of a kernel of D taps; the delay is
``d = (D - 1) / 2 - p``, and the width is the reference's ``|SIG| + 0.27``.

Legend of shapes: O outputs, I inputs, K taps a synapse, D delays (0 to D - 1).
"""

from __future__ import annotations

from typing import Any, Literal

import torch
from torch import Tensor

from ..core.errors import ConfigError, ShapeError

KernelMode = Literal["gauss", "round", "ste"]


class _Clamp(torch.autograd.Function):
    @staticmethod
    def forward(position: Tensor, longest: int) -> Tensor:
        return position.clamp(0, longest)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, int], output: Tensor) -> None:
        position, ctx.longest = inputs
        ctx.save_for_backward(position)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:  # type: ignore[override]
        (position,) = ctx.saved_tensors
        # a step is taken against the gradient: what would lead further out is dropped
        outwards = ((position < 0) & (gradient > 0)) | ((position > ctx.longest) & (gradient < 0))
        return gradient.masked_fill(outwards, 0.0), None


def clamp_delay(position: Tensor, longest: int) -> Tensor:
    """Cut positions to ``[0, longest]`` at use.

    The gradient of a position outside passes where a step against it leads back into the range and
    is zero where it leads further out, so that a position which an optimiser carried over the border
    still learns. Inside it is that of the identity.
    """
    return _Clamp.apply(position, longest)  # type: ignore[no-any-return]


def gaussian_taps(position: Tensor, delays: int, width: float | Tensor) -> Tensor:
    """``exp(-(n - d)^2 / 2 s^2)`` over n = 0 to D - 1, divided by its sum: ``[..., D]``.

    Args:
        position: delays d in steps, within ``[0, D - 1]``.
        delays: D.
        width: standard deviation s in steps, above 0.
    """
    steps = torch.arange(delays, dtype=position.dtype, device=position.device)
    # a softmax is the normalised Gaussian, and finite for any width
    return torch.softmax(-0.5 * ((steps - position.unsqueeze(-1)) / width).square(), -1)


def rounded_taps(position: Tensor, delays: int) -> Tensor:
    """1 at the nearest step (half to even) and 0 elsewhere: ``[..., D]``; no gradient."""
    steps = torch.arange(delays, dtype=position.dtype, device=position.device)
    return (steps == position.detach().round().unsqueeze(-1)).to(position.dtype)


def delay_taps(position: Tensor, delays: int, width: float | Tensor, mode: KernelMode) -> Tensor:
    """Taps of unit sum ``[..., D]`` for positions ``[...]``.

    ``gauss`` spreads; ``round`` puts all on one step; ``ste`` (straight-through) puts all on one step
    and has the gradient of ``gauss`` for the position.
    """
    position = clamp_delay(position, delays - 1)
    if mode == "round":
        return rounded_taps(position, delays)
    spread = gaussian_taps(position, delays, width)
    if mode == "gauss":
        return spread
    if mode == "ste":
        return rounded_taps(position, delays) + (spread - spread.detach())
    raise ConfigError(f"A delay kernel is gauss, round or ste; got {mode!r}.")


def delay_kernel(weight: Tensor, position: Tensor, delays: int, width: float | Tensor, mode: KernelMode) -> Tensor:
    """Weight of every synapse at every delay: ``sum_k weight * taps``.

    Args:
        weight: ``[O, I, K]``.
        position: delays in steps ``[O, I, K]``, with 1 in place of O or I where they are shared;
            cut to ``[0, D - 1]`` as :func:`clamp_delay` says.
        delays: D.
        width: standard deviation of the Gaussian in steps; not used by ``round``.
        mode: see :func:`delay_taps`.

    Returns:
        ``[O, I, D]``; element n acts on the input n steps ago.

    Raises:
        ShapeError: weight and position do not fit; ConfigError: no such mode, or a width of 0 or less.

    Example:
        >>> delay_kernel(torch.tensor([[[2.0]]]), torch.tensor([[[1.2]]]), 4, 0.5, "round")
        tensor([[[0., 2., 0., 0.]]])
    """
    fits = weight.dim() == 3 and position.dim() == 3 and position.shape[2] == weight.shape[2]
    fits = fits and all(p in (1, w) for p, w in zip(position.shape[:2], weight.shape[:2], strict=True))
    if not fits:
        raise ShapeError(
            f"A delay kernel expected a weight [O, I, K] and positions [O or 1, I or 1, K], "
            f"got {list(weight.shape)} and {list(position.shape)}."
        )
    if mode != "round" and not isinstance(width, Tensor) and not width > 0:
        raise ConfigError(f"The width of a delay kernel must be above 0, got {width}.")
    taps = delay_taps(position, delays, width, mode)
    if weight.shape[2] == 1:
        return weight * taps.squeeze(2)
    return (weight.unsqueeze(-1) * taps).sum(2)
