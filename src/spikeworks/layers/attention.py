"""Self-attention along time: the linear form of spiking transformers and the usual softmax."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from ..core.credit import Credit
from ..core.errors import ConfigError, ShapeError
from ..core.operations import Operations
from ..core.state import State
from .stateful import Stateful, Whole, check_whole, check_whole_credit
from .synapse import magnitude

CHUNK = 64
"""Steps that look at each other directly; what lies before them is one matrix a head."""


class Attention(Stateful):
    """Base: queries, keys and values ``[T, B, 3 N]``, packed in this order, to ``[T, B, N]``; no parameters.

    Args:
        width: N.
        heads: into which N is divided.
        causal: whether a step sees itself and earlier steps alone. Without, a sequence must be fed whole,
            and ``mask [T, B]`` keeps padded steps from being seen.
    """

    def __init__(self, width: int, heads: int, *, causal: bool = True) -> None:
        super().__init__()
        if heads < 1 or width < 1 or width % heads:
            raise ConfigError(f"Attention divides its width into heads; {width} is no multiple of {heads}.")
        self.width, self.heads, self.causal = width, heads, causal

    def check_credit(self, credit: Credit) -> None:
        if not self.causal:
            check_whole_credit("Attention without causal order", credit)

    def forward(self, x: Tensor, state: State = None, mask: Tensor | None = None) -> tuple[Tensor, State]:
        """Run over time; see the class."""
        if x.dim() != 3 or x.shape[2] != 3 * self.width:
            raise ShapeError(
                f"Attention expected queries, keys and values [T, B, {3 * self.width}], got {list(x.shape)}."
            )
        if self.causal:
            return super().forward(x, state)
        self.check_credit(self.credit)
        check_whole("Attention without causal order", state)
        return self._joined(self.whole(*self._split(x), mask)), Whole()

    def whole(self, q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None) -> Tensor:
        """Every step sees every step: ``[B, H, T, D]`` each."""
        raise TypeError(f"{type(self).__name__} defines no whole.")

    def _split(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """``[T, B, 3 N]`` to three ``[B, H, T, D]``."""
        q, k, v = x.unflatten(2, (3, self.heads, -1)).permute(2, 1, 3, 0, 4).unbind(0)
        return q, k, v

    def _joined(self, y: Tensor) -> Tensor:
        """``[B, H, T, D]`` to ``[T, B, N]``."""
        return y.permute(2, 0, 1, 3).flatten(2)

    def extra_repr(self) -> str:
        return f"{self.width}, heads={self.heads}, causal={self.causal}"


class LinearAttention(Attention):
    """Attention without softmax: ``o[t] = scale * q[t] S[t]`` with ``S[t] = S[t-1] + k[t]' v[t]`` in every head.

    That is ``scale * ((Q K') masked) V`` with a lower triangle of ones; without causal order ``scale * Q (K' V)``.
    The state is S, ``[B, H, D, D]``, whatever the length. Of spikes the sums are whole numbers and exact,
    so that chunks equal the whole to the last bit.

    Args:
        width, heads, causal: see :class:`Attention`.
        scale: factor on the result.

    Source: Spike-driven Transformer V2, SDSA-3 (arXiv 2404.03663), along time as in arXiv 2502.09449.
    """

    def __init__(self, width: int, heads: int, *, causal: bool = True, scale: float = 0.125) -> None:
        super().__init__(width, heads, causal=causal)
        self.scale = scale

    def run(self, x: Tensor, state: Tensor | None) -> tuple[Tensor, Tensor]:
        steps, chunk = len(x), min(CHUNK, len(x))
        short = -steps % chunk
        q, k, v = (part.unflatten(2, (-1, chunk)) for part in self._split(functional.pad(x, (0, 0) * 2 + (0, short))))
        each = k.mT @ v  # [B, H, chunks, D, D], what a chunk adds to S
        first = torch.zeros_like(each[:, :, :1]) if state is None else state.to(x.dtype).unsqueeze(2)
        sums = torch.cat([first, each], 2).cumsum(2)
        seen = (q @ k.mT).tril()
        y = (seen @ v + q @ sums[:, :, :-1]).flatten(2, 3)[:, :, :steps]
        return self.scale * self._joined(y), sums[:, :, -1].clone()

    def whole(self, q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None) -> Tensor:
        if mask is not None:
            k = k * mask.t().to(k.dtype)[:, None, :, None]
        return self.scale * (q @ (k.mT @ v))

    def operations(self, x: Tensor, y: Tensor) -> Operations:
        """As streamed: spikes of k choose rows of S to which v is added, spikes of q choose rows to be summed.

        Exact for keys and queries that are spikes; else every product is a MAC.
        """
        size = self.width // self.heads
        q, k, _ = x.chunk(3, 2)
        moved = 2.0 * y.numel() * size
        if x.abs().max() <= 1 and bool((x == x.round()).all()):
            added = (magnitude(q) + magnitude(k)) * size
            return Operations(acs=added, macs=y.numel(), state_reads=added, state_writes=magnitude(k) * size)
        return Operations(macs=moved + y.numel(), state_reads=moved, state_writes=moved / 2)


class Seen(NamedTuple):
    """Keys and values of all steps so far, each ``[B, T, N]``."""

    keys: Tensor
    values: Tensor


class SoftmaxAttention(Attention):
    """``softmax(q k' / sqrt(D)) v`` in every head. The state is all keys and values so far, and grows with time.

    Source: arXiv 1706.03762.
    """

    def run(self, x: Tensor, state: Seen | None) -> tuple[Tensor, Seen]:
        q, k, v = self._split(x)
        keys, values = (self._joined(part).transpose(0, 1) for part in (k, v))  # [B, T, N]
        if state is not None:
            keys, values = torch.cat([state[0], keys], 1), torch.cat([state[1], values], 1)
            k, v = (part.unflatten(2, (self.heads, -1)).transpose(1, 2) for part in (keys, values))
        steps, past = q.shape[2], k.shape[2]
        allowed = torch.ones(steps, past, dtype=torch.bool, device=x.device).tril(past - steps)
        return self._joined(functional.scaled_dot_product_attention(q, k, v, attn_mask=allowed)), Seen(keys, values)

    def whole(self, q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None) -> Tensor:
        allowed = None if mask is None else mask.t()[:, None, None, :]
        return functional.scaled_dot_product_attention(q, k, v, attn_mask=allowed)

    def operations(self, x: Tensor, y: Tensor) -> Operations:
        """As streamed from rest: every pair of a step and what it sees, in every head."""
        steps, batch = x.shape[:2]
        pairs = batch * (steps * (steps + 1) / 2 if self.causal else steps * steps)
        moved = 2.0 * pairs * self.width
        return Operations(
            macs=moved, specials=pairs * self.heads, state_reads=moved, state_writes=2.0 * steps * batch * self.width
        )


def positions(start: Tensor, steps: int, width: int) -> Tensor:
    """Sines and cosines of the place in a sequence, ``[T, B, width]`` in float64.

    Args:
        start: number of steps before the first of these, ``[B]``.
        steps: T.
        width: channels; even ones hold sines, odd ones cosines, of wavelengths from 2 pi to 10000 * 2 pi.

    Source: arXiv 1706.03762, section 3.5.
    """
    half = torch.arange(0, width, 2, dtype=torch.float64, device=start.device)
    rate = torch.exp(half * (-math.log(1e4) / width))
    place = torch.arange(steps, dtype=torch.float64, device=start.device).unsqueeze(1) + start.to(torch.float64)
    angle = place.unsqueeze(2) * rate
    return torch.stack([angle.sin(), angle.cos()], 3).flatten(2)[:, :, :width]
