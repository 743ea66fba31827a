"""Spikes as bits: one eighth of a byte a spike instead of four bytes."""

from __future__ import annotations

import dataclasses

import numpy as np
import torch
from torch import Tensor


@dataclasses.dataclass(frozen=True)
class Packed:
    """Binary values in bits, most significant first, and what is needed to get them back."""

    bits: Tensor
    shape: torch.Size
    dtype: torch.dtype


def is_binary(x: Tensor) -> bool:
    """True where every value is 0 or 1."""
    return bool(((x == 0) | (x == 1)).all())


def pack(x: Tensor) -> Packed:
    """Pack a tensor of zeros and ones; anything that is not 0 counts as 1.

    Example:
        >>> packed = pack(torch.tensor([[1.0, 0.0, 1.0], [0.0, 0.0, 1.0]]))
        >>> packed.bits.tolist(), unpack(packed).tolist()
        ([164], [[1.0, 0.0, 1.0], [0.0, 0.0, 1.0]])
    """
    flat = (x.detach() != 0).reshape(-1)
    if x.device.type == "cpu":
        bits = torch.from_numpy(np.packbits(flat.numpy()))
    else:
        padded = torch.nn.functional.pad(flat.to(torch.uint8), (0, -flat.numel() % 8)).reshape(-1, 8)
        bits = (padded << torch.arange(7, -1, -1, device=x.device, dtype=torch.uint8)).sum(1, dtype=torch.uint8)
    return Packed(bits, x.shape, x.dtype)


def unpack(packed: Packed) -> Tensor:
    """The tensor that was packed."""
    count, bits = packed.shape.numel(), packed.bits
    if bits.device.type == "cpu":
        flat = torch.from_numpy(np.unpackbits(bits.numpy(), count=count))
    else:
        shifts = torch.arange(7, -1, -1, device=bits.device, dtype=torch.uint8)
        flat = ((bits.unsqueeze(1) >> shifts) & 1).reshape(-1)[:count]
    return flat.to(packed.dtype).reshape(packed.shape)
