"""Diagonal state spaces (S4D) as layers, and the gates of the spiking networks that use them."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from ..core.errors import ConfigError
from ..core.operations import Operations
from ..kernels.scan import diagonal_scan
from .stateful import Stateful
from .synapse import magnitude, uniform_


class S4D(Stateful):
    """A linear filter with its own memory for every channel: ``[T, B, N] -> [T, B, N]``.

    K complex modes a channel, ``z <- exp(dt A) z + x``, ``y = 2 Re sum_k C (exp(dt A) - 1) / A z + D x``: the
    zero-order hold of ``z' = A z + x``, and a convolution with ``2 Re sum_k C (exp(dt A) - 1) / A exp(dt A l)``.
    All steps are computed at once by :func:`~spikeworks.kernels.scan.diagonal_scan`, whose forms (Fourier
    transform, chunks, step by step) are equal. The state is z, ``[B, N, K, 2]`` with real and imaginary parts.

    It starts with ``A = -1/2 + j pi k``, dt log-uniform in ``[1e-3, 0.1]``, C complex normal with variance 1 and D
    normal. dt and A have a learning rate of their own and no weight decay; C is a matrix like others.

    Args:
        channels: N.
        modes: K; half of what the source calls the size of the state.
        rate: factor on the learning rate of dt and A. The source trains them at ``min(1e-3, rate)``.
        generator: source of the initial values.

    Source: arXiv 2206.11893; in spiking networks Stan and Rhodes 2024.
    """

    def __init__(
        self, channels: int, *, modes: int = 32, rate: float = 1.0, generator: torch.Generator | None = None
    ) -> None:
        super().__init__()
        if channels < 1 or modes < 1:
            raise ConfigError(f"S4D needs at least one channel and mode, got {channels} and {modes}.")
        if not (math.isfinite(rate) and rate >= 0):
            raise ConfigError(f"The factor on the learning rate of S4D must not be negative, got {rate}.")
        self.rate = rate
        low, high = math.log(1e-3), math.log(0.1)
        self.log_step = nn.Parameter(low + (high - low) * torch.rand(channels, generator=generator))
        self.log_damping = nn.Parameter(torch.full((channels, modes), math.log(0.5)))
        self.frequency = nn.Parameter((math.pi * torch.arange(modes)).expand(channels, modes).clone())
        self.read = nn.Parameter(math.sqrt(0.5) * torch.randn(channels, modes, 2, generator=generator))
        self.feedthrough = nn.Parameter(torch.randn(channels, generator=generator))

    @property
    def parameter_rates(self) -> dict[str, float]:
        """Parameters with a learning rate of their own and no weight decay, and the factor."""
        return dict.fromkeys(("log_step", "log_damping", "frequency"), self.rate)

    def coefficients(self) -> tuple[Tensor, Tensor]:
        """Decay and read-out of the modes, complex, ``[K, N]`` each."""
        modes = torch.complex(-self.log_damping.exp(), self.frequency)
        decay = torch.exp(modes * self.log_step.exp().unsqueeze(1))
        read = 2.0 * torch.complex(*self.read.unbind(2)) * (decay - 1.0) / modes
        return decay.t(), read.t()

    def run(self, x: Tensor, state: Tensor | None) -> tuple[Tensor, Tensor]:
        decay, read = self.coefficients()
        wide = x.to(torch.promote_types(x.dtype, torch.float32))
        kind = torch.complex128 if wide.dtype == torch.float64 else torch.complex64
        decay, read = decay.to(kind), read.to(kind)
        if state is None:
            start = torch.zeros(len(decay), *x.shape[1:], dtype=kind, device=x.device)
        else:
            start = torch.complex(*state.to(wide.dtype).unbind(3)).permute(2, 0, 1)
        y, modes = diagonal_scan(wide, decay, read, start)
        after = torch.stack([modes.real, modes.imag], 3).permute(1, 2, 0, 3).contiguous()
        return (y + self.feedthrough.to(wide.dtype) * wide).to(x.dtype), after

    def operations(self, x: Tensor, y: Tensor) -> Operations:
        """As streamed: a complex product, two real ones to read and an addition for each mode, and D."""
        modes = self.frequency.shape[1]
        moved = 2.0 * modes * y.numel()
        return Operations(
            macs=(6.0 * modes + 1.0) * y.numel(), acs=modes * y.numel(), state_reads=moved, state_writes=moved
        )

    def extra_repr(self) -> str:
        channels, modes = self.frequency.shape
        return f"{channels}, modes={modes}, rate={self.rate:g}"


class GLU(nn.Module):
    """The first half of the channels, gated by the logistic function of the second: ``[T, B, 2 N] -> [T, B, N]``."""

    def forward(self, x: Tensor) -> Tensor:
        return functional.glu(x, 2)

    def operations(self, x: Tensor, y: Tensor) -> Operations:
        """A logistic function and a product for each output."""
        return Operations(macs=y.numel(), specials=y.numel())


def ternary(z: Tensor, largest: Tensor, share: float = 0.15) -> Tensor:
    """The sign where ``|z| >= share * largest``, else 0; a constant in backward."""
    z = z.detach()
    return torch.where(z.abs() >= share * largest.detach(), z.sign(), torch.zeros_like(z))


class TernaryGate(nn.Module):
    """``y <- (tern(y) W + b) * (y tern(W) + c)``: two products, each with one factor of -1, 0 and 1.

    ``tern`` keeps the sign of what reaches 0.15 of the largest, among the channels for y and among all
    entries for W. Gradients flow through the factors that are not ternary. W, b and c start as
    U(-1/sqrt(N), 1/sqrt(N)). ``[T, B, N] -> [T, B, N]``.

    Source: the gated spiking unit (GSU) of Stan and Rhodes 2024, as in arXiv 2505.22035.
    """

    def __init__(self, channels: int, *, generator: torch.Generator | None = None) -> None:
        super().__init__()
        bound = 1.0 / math.sqrt(channels)
        self.weight = nn.Parameter(uniform_(torch.empty(channels, channels), bound, generator))
        self.first_bias = nn.Parameter(uniform_(torch.empty(channels), bound, generator))
        self.second_bias = nn.Parameter(uniform_(torch.empty(channels), bound, generator))

    def signs(self, y: Tensor) -> Tensor:
        """tern(y)."""
        return ternary(y, y.abs().amax(-1, keepdim=True))

    def forward(self, y: Tensor) -> Tensor:
        chosen = ternary(self.weight, self.weight.abs().max())
        return (self.signs(y) @ self.weight + self.first_bias) * (y @ chosen + self.second_bias)

    def operations(self, x: Tensor, y: Tensor) -> Operations:
        """Additions for both products, a comparison for each sign, and the product of the two."""
        size = self.weight.shape[0]
        signs = magnitude(self.signs(x)) * size
        chosen = magnitude(ternary(self.weight, self.weight.abs().max())) * (x.numel() / size)
        return Operations(acs=signs + chosen + x.numel(), macs=y.numel(), weight_reads=signs + chosen)

    def extra_repr(self) -> str:
        return f"{self.weight.shape[0]}"
