"""Which coordinates of a tensor keep moments: random, and recomputed wherever they are needed.

The choice is a hash of a counter, in integers alone. It is therefore the same on every device,
takes no memory between updates and no place in a checkpoint.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ..core.seeds import derive_seed

_WORD = 0xFFFFFFFF
_BLOCK = 1 << 14


def kept_count(numel: int, density: float) -> int:
    """How many of ``numel`` coordinates keep moments: the nearest whole number, at least one.

    Example:
        >>> kept_count(100, 0.25), kept_count(3, 0.01), kept_count(0, 0.5)
        (25, 1, 0)
    """
    return min(numel, max(1, round(density * numel)))


def kept_coordinates(numel: int, kept: int, seed: int, *names: str | int, device: torch.device | str = "cpu") -> Tensor:
    """``kept`` different indices below ``numel``, drawn from the stream ``names`` of ``seed``.

    The flattened tensor, rotated by a random amount, is cut into ``kept`` stretches whose lengths
    differ by one at most, and each gives one coordinate. The rotation makes all coordinates equally
    likely, ``kept / numel``; the stretches make the number exact without a permutation of the whole.

    Args:
        numel: coordinates of the tensor.
        kept: how many to choose, from 1 to ``numel``.
        seed: of the run.
        names: of the stream, for instance parameter index and number of resets.
        device: where the indices lie; their values do not depend on it.

    Returns:
        int64 ``[kept]``.

    Example:
        >>> kept_coordinates(8, 4, 0, "example").unique().numel()
        4
    """
    turn = derive_seed(seed, "rotation", *names) % numel
    key = derive_seed(seed, "choice", *names)
    device = torch.device(device)
    # A block stays in the cache of a CPU; elsewhere launches cost more than memory traffic.
    block = _BLOCK if device.type == "cpu" else kept
    length, longer = divmod(numel, kept)
    index = torch.empty(kept, dtype=torch.int64, device=device)
    for first in range(0, kept, block):
        place = torch.arange(first, min(first + block, kept), device=device)
        choice = _words(place, key).mul_((place < longer) + length).bitwise_right_shift_(32)
        choice += place.clamp(max=longer).add_(turn)
        choice += place.mul_(length)
        torch.sub(choice, (choice >= numel).mul(numel), out=index[first : first + block])
    return index


def _words(counter: Tensor, key: int) -> Tensor:
    """32 random bits for every counter.

    Two multiplications between shifts; both factors fit 31 bits, so that no product leaves int64.
    Constants: C. Wellons, "hash-prospector", 32-bit functions of two rounds.
    """
    word = counter.bitwise_xor(key & _WORD)
    for shift, factor in ((16, 0x21F0AAAD), (15, 0x735A2D97)):
        word.bitwise_xor_(word >> shift).mul_(factor).bitwise_and_(_WORD)
    return word.bitwise_xor_(word >> 15).add_(key >> 32).bitwise_and_(_WORD)
