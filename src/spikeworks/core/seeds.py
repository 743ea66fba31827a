"""Named random streams derived from one seed, so that no draw depends on another's order."""

from __future__ import annotations

import hashlib

import torch


def derive_seed(seed: int, *names: str | int) -> int:
    """A 63-bit seed for the stream called ``names`` of the run seed ``seed``.

    Example:
        >>> derive_seed(0, "weights") == derive_seed(0, "weights") != derive_seed(0, "order", 1)
        True
    """
    text = "\x1f".join([str(int(seed)), *map(str, names)])
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


def stream(seed: int, *names: str | int, device: torch.device | str = "cpu") -> torch.Generator:
    """A fresh ``torch.Generator`` for the stream called ``names``."""
    return torch.Generator(device=device).manual_seed(derive_seed(seed, *names))
