"""Spikes as bits: one eighth of a byte a spike instead of four bytes.

Bits lie in the order of the values, value i in bit ``i % 8`` of byte ``i // 8``, which is how
vector comparisons store their masks. What is left of the last byte is zero. On the CPU, C
kernels pack and unpack float32 and float64 at the speed of memory; numpy does where there is
no compiler, and for other types.
"""

from __future__ import annotations

import ctypes
import dataclasses
import functools
import logging
import math

import numpy as np
import torch
from torch import Tensor

from ..core.errors import KernelError
from . import build
from .operators import is_fake
from .packing_c import source
from .threads import in_threads

log = logging.getLogger(__name__)

BITS_OF_A_BYTE = 8


@dataclasses.dataclass(frozen=True)
class Packed:
    """Binary values in bits and what is needed to get them back.

    Attributes:
        bits: uint8, one axis, ``ceil(values / 8)`` bytes.
        shape, dtype: of the tensor that was packed.
    """

    bits: Tensor
    shape: torch.Size
    dtype: torch.dtype

    @functools.cached_property
    def rate(self) -> float:
        """The part of the values that is 1; 0 where there are none, NaN where they are fake."""
        if is_fake(self.bits):
            return math.nan
        bits = self.bits.cpu().numpy()
        whole = len(bits) // 8 * 8
        words, rest = bits[:whole].view(np.uint64), bits[whole:]
        ones = sum(int(np.bitwise_count(part).sum(dtype=np.int64)) for part in (words, rest))
        return ones / max(1, self.shape.numel())


def pack(x: Tensor) -> Packed:
    """Pack a tensor of zeros and ones; anything that is not 0 counts as 1.

    Example:
        >>> packed = pack(torch.tensor([[1.0, 0.0, 1.0], [0.0, 0.0, 1.0]]))
        >>> packed.bits.tolist(), unpack(packed).tolist()
        ([37], [[1.0, 0.0, 1.0], [0.0, 0.0, 1.0]])
    """
    packed = _pack(x, check=False)
    assert packed is not None  # without a check nothing is refused
    return packed


def pack_if_binary(x: Tensor) -> Packed | None:
    """Pack ``x`` where all values are 0 or 1, reading it once; else ``None``."""
    return _pack(x, check=True)


def unpack(packed: Packed) -> Tensor:
    """The tensor that was packed."""
    return unpack_into(packed.bits, torch.empty(packed.shape, dtype=packed.dtype, device=packed.bits.device))


def unpack_into(bits: Tensor, x: Tensor) -> Tensor:
    """Write the values of ``bits`` into ``x``, contiguous, and return it."""
    if is_fake(bits):
        return x
    count = x.numel()
    library = _library(x.dtype) if x.device.type == "cpu" else None
    if library is not None:
        call, source_at, target_at = library.unpack, bits.data_ptr(), x.data_ptr()
        in_threads(lambda first, last: call(count, source_at, target_at, first, last), len(bits), work=count, align=64)
        return x
    if x.device.type == "cpu":
        flat = torch.from_numpy(np.unpackbits(bits.numpy(), count=count, bitorder="little"))
    else:
        shifts = torch.arange(BITS_OF_A_BYTE, device=bits.device, dtype=torch.uint8)
        flat = ((bits.unsqueeze(1) >> shifts) & 1).reshape(-1)[:count]
    return x.copy_(flat.reshape(x.shape))


def _pack(x: Tensor, check: bool) -> Packed | None:
    values = x.detach()
    library = _library(x.dtype) if x.device.type == "cpu" else None
    if library is not None:
        bits = _pack_with(library, values.contiguous(), check)
    elif check and not bool(((values == 0) | (values == 1)).all()):
        bits = None
    else:
        bits = _pack_with_torch((values != 0).reshape(-1))
    return None if bits is None else Packed(bits, x.shape, x.dtype)


def _pack_with(library: ctypes.CDLL, x: Tensor, check: bool) -> Tensor | None:
    count, refused = x.numel(), []
    bits = torch.empty(-(-count // BITS_OF_A_BYTE), dtype=torch.uint8)

    def part(first: int, last: int) -> None:
        if library.pack(count, x.data_ptr(), bits.data_ptr(), check, first, last):
            refused.append(first)

    in_threads(part, len(bits), work=count, align=64)
    return None if refused else bits


def _pack_with_torch(flat: Tensor) -> Tensor:
    if flat.device.type == "cpu":
        return torch.from_numpy(np.packbits(flat.numpy(), bitorder="little"))
    padded = torch.nn.functional.pad(flat.to(torch.uint8), (0, -flat.numel() % BITS_OF_A_BYTE)).reshape(-1, 8)
    return (padded << torch.arange(8, device=flat.device, dtype=torch.uint8)).sum(1, dtype=torch.uint8)


def _library(dtype: torch.dtype) -> ctypes.CDLL | None:
    """The C kernels, or ``None`` where there are none for this type or no compiler."""
    if dtype not in (torch.float32, torch.float64) or isinstance(build.working_flags(), str):
        return None
    return _built(dtype)


@functools.lru_cache(maxsize=2)
def _built(dtype: torch.dtype) -> ctypes.CDLL | None:
    try:
        return declared(build.load(source(dtype)))
    except KernelError as error:
        log.warning("spikes are packed by numpy: %s", error)
        return None


def declared(library: ctypes.CDLL) -> ctypes.CDLL:
    """The library with the types of its functions."""
    size, address = ctypes.c_int64, ctypes.c_void_p
    library.pack.argtypes = [size, address, address, ctypes.c_int, size, size]
    library.pack.restype = ctypes.c_int
    library.unpack.argtypes = [size, address, address, size, size]
    library.unpack.restype = None
    return library
