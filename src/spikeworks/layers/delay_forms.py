"""Ways to carry out ``y[t] = sum_n kernel[:, :, n] x[t - n]``, equal but for rounding, and which to take.

Every form gets the input with its past in front, ``x [D - 1 + T, B, I]``, and a kernel ``[O, I, D]``,
and returns ``[T, B, O]``.

- ``direct``: one convolution, D T B I O multiply-accumulates.
- ``fourier``: overlap-save. Blocks of n steps become n // 2 + 1 frequencies, one complex matrix
  product a frequency does the work, and every block yields n - D + 1 steps. Blocks are short, so
  the transforms are matrix products as well, which run faster here than a general FFT.
- ``by_delay``: one masked product a delay; the plain definition, for tests and reading.

Legend of shapes: T time, B batch, O outputs, I inputs, D delays.
"""

from __future__ import annotations

import functools
import math
from typing import Literal, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

Form = Literal["direct", "fourier"]


class Choice(NamedTuple):
    """A form, the length of its blocks where it has any, and why it was chosen."""

    form: Form
    block: int
    reason: str


def direct(x: Tensor, kernel: Tensor) -> Tensor:
    """One convolution along time."""
    return functional.conv1d(x.permute(1, 2, 0), kernel.flip(-1)).permute(2, 0, 1)


def by_delay(x: Tensor, kernel: Tensor) -> Tensor:
    """A sum over the delays of the product of the shifted input and the weights of that delay."""
    steps = x.shape[0] - kernel.shape[2] + 1
    shifted = (x[x.shape[0] - steps - n : x.shape[0] - n] for n in range(kernel.shape[2]))
    return sum((s @ kernel[:, :, n].t() for n, s in enumerate(shifted)), x.new_zeros(()))


def fourier(x: Tensor, kernel: Tensor, block: int) -> Tensor:
    """Blocks of ``block`` steps through their spectra, with ``block >= D``."""
    outputs, inputs, delays = kernel.shape
    steps, batch, hop = x.shape[0] - delays + 1, x.shape[1], block - delays + 1
    blocks = -(-steps // hop)
    if missing := blocks * hop - steps:
        x = torch.cat([x, x.new_zeros(missing, batch, inputs)])
    forth, back = _transforms(block, delays, x.dtype, x.device)
    frequencies = block // 2 + 1
    cut = x.unfold(0, block, hop).permute(3, 0, 1, 2).reshape(block, blocks * batch * inputs)
    real, imaginary = (forth @ cut).view(2, frequencies, blocks * batch, inputs)
    kernels = (forth[:, :delays] @ kernel.flatten(0, 1).t()).view(2, frequencies, outputs, inputs)
    kernel_real, kernel_imaginary = kernels.transpose(-1, -2)
    product = torch.stack(
        [
            torch.baddbmm(real @ kernel_real, imaginary, kernel_imaginary, alpha=-1),
            torch.baddbmm(real @ kernel_imaginary, imaginary, kernel_real),
        ]
    )
    y = (back @ product.view(2 * frequencies, -1)).view(hop, blocks, batch, outputs)
    return y.transpose(0, 1).reshape(blocks * hop, batch, outputs)[:steps]


@functools.lru_cache(maxsize=64)
def _transforms(block: int, delays: int, dtype: torch.dtype, device: torch.device) -> tuple[Tensor, Tensor]:
    """Real and imaginary part of the spectrum, ``[2 f, n]``, and the last n - D + 1 steps from it, ``[hop, 2 f]``."""
    frequencies = torch.arange(block // 2 + 1, dtype=torch.float64)
    angle = 2 * math.pi / block * torch.outer(frequencies, torch.arange(block, dtype=torch.float64))
    both = torch.cat([angle.cos(), -angle.sin()])
    twice = torch.full_like(frequencies, 2.0)  # all but the constant and the highest stand for two
    twice[0] = 1.0
    if block % 2 == 0:
        twice[-1] = 1.0
    inverse = both * (twice / block).repeat(2).unsqueeze(1)
    return both.to(device, dtype), inverse[:, delays - 1 :].t().contiguous().to(device, dtype)


def choose(steps: int, batch: int, outputs: int, inputs: int, delays: int) -> Choice:
    """The form for these sizes: the one with fewer multiply-accumulates.

    A block of n steps costs ``2 f (n B I + (n - D + 1) B O + 2 B I O)`` and the kernel's spectrum
    ``2 f D I O`` once, with ``f = n // 2 + 1``; the direct form ``D T B I O``. The best block length is
    looked for among D + 1, 2 D, 3 D, 4 D and the whole. Small matrices and more passes over memory
    make an operation of the Fourier form cost about 1.75 times one of the direct form (measured on a CPU).
    """
    plain = delays * steps * batch * inputs * outputs
    whole = steps + delays - 1
    best, length = math.inf, whole
    for block in sorted({min(whole, max(delays, candidate)) for candidate in (*_blocks(delays), whole)}):
        hop, frequencies = block - delays + 1, block // 2 + 1
        each = block * batch * inputs + hop * batch * outputs + 2 * batch * inputs * outputs
        cost = 2 * frequencies * (-(-steps // hop) * each + delays * inputs * outputs)
        if cost < best:
            best, length = cost, block
    counts = f"direct {plain:.2g} and Fourier {best:.2g} multiply-accumulates in blocks of {length} steps"
    if _FOURIER_COST * best < plain:
        return Choice("fourier", length, counts)
    return Choice("direct", 0, counts)


_FOURIER_COST = 1.75


def _blocks(delays: int) -> tuple[int, ...]:
    return (delays + 1, 2 * delays, 3 * delays, 4 * delays)


def spread(x: Tensor, taps: Tensor) -> Tensor:
    """Filter every channel alone: ``x [D - 1 + T, B, C]``, ``taps [C, K, D]`` to ``[T, B, C, K]``."""
    channels, count, _ = taps.shape
    y = functional.conv1d(x.permute(1, 2, 0), taps.flatten(0, 1).unsqueeze(1).flip(-1), groups=channels)
    return y.view(x.shape[1], channels, count, -1).permute(3, 0, 1, 2)


def shift(x: Tensor, delay: Tensor, longest: int) -> Tensor:
    """Delay every channel by whole steps: ``x [D - 1 + T, B, C]``, ``delay [C, K]`` int to ``[T, B, C, K]``."""
    steps, batch, channels = x.shape[0] - longest, x.shape[1], x.shape[2]
    from_step = torch.arange(steps, device=x.device).view(-1, 1, 1, 1) + (longest - delay)
    index = from_step.expand(steps, batch, *delay.shape).flatten(2)
    wide = x.unsqueeze(-1).expand(*x.shape, delay.shape[1]).flatten(2)
    return torch.gather(wide, 0, index).view(steps, batch, channels, -1)
