"""The most memory that a piece of training holds at once, the same on every device.

Two peaks, both in bytes: of what autograd has saved for backward, and of all tensors that were
made since the watch began and still live. Methods that run several small backward passes are
compared by them; a device's own counter knows only its own allocator.
"""

from __future__ import annotations

import contextlib
import weakref
from collections.abc import Iterable, Iterator
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from .memory import Kept, storage_key


class LiveMemory:
    """What :func:`watch_memory` has seen so far.

    Attributes:
        saved_peak: most bytes kept for backward at once; every storage counts once, those of
            excluded tensors not at all.
        live_peak: most bytes of tensors alive at once, of those made since the watch began.
    """

    def __init__(self, excluded: Iterable[Tensor] = ()) -> None:
        self.saved_peak = self.live_peak = 0
        self._saved = self._live = 0
        self._holders: dict[int, int] = {}
        self._known: set[int] = set()
        self._excluded = {storage_key(t) for t in excluded}

    def _pack(self, tensor: Tensor) -> Kept:
        kept = Kept(tensor.detach())
        key = storage_key(tensor)
        if key not in self._excluded:
            size = tensor.untyped_storage().nbytes()
            self._holders[key] = self._holders.get(key, 0) + 1
            if self._holders[key] == 1:
                self._saved += size
                self.saved_peak = max(self.saved_peak, self._saved)
            weakref.finalize(kept, self._let_go, key, size)
        return kept

    def _let_go(self, key: int, size: int) -> None:
        self._holders[key] -= 1
        if not self._holders[key]:
            del self._holders[key]
            self._saved -= size

    def _made(self, tensor: Tensor) -> None:
        storage = tensor.untyped_storage()
        key = storage._cdata
        if key in self._known or key in self._excluded:
            return
        size = storage.nbytes()
        self._known.add(key)
        self._live += size
        self.live_peak = max(self.live_peak, self._live)
        weakref.finalize(storage, self._freed, key, size)

    def _freed(self, key: int, size: int) -> None:
        self._known.discard(key)
        self._live -= size


class _Births(TorchDispatchMode):
    """Reports the results of every operation; what an operator allocates inside stays unseen."""

    def __init__(self, memory: LiveMemory) -> None:
        super().__init__()
        self.memory = memory

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        given = {storage_key(leaf) for leaf in _strided((args, kwargs))}
        result = func(*args, **(kwargs or {}))
        for leaf in _strided(result):
            if storage_key(leaf) not in given:  # else a view, or changed in place: no new memory, whoever made it
                self.memory._made(leaf)
        return result


def _strided(values: Any) -> Iterator[Tensor]:
    """The tensors in nested values that have a storage to be counted."""
    return (leaf for leaf in tree_leaves(values) if isinstance(leaf, Tensor) and leaf.layout == torch.strided)


@contextlib.contextmanager
def watch_memory(excluded: Iterable[Tensor] = ()) -> Iterator[LiveMemory]:
    """Watch what runs inside; slow, because every operation is looked at.

    Args:
        excluded: tensors whose storages never count, such as parameters and the batch.

    Example:
        >>> weight = torch.ones(1000, requires_grad=True)
        >>> with watch_memory([weight]) as memory:
        ...     weight.exp().sum().backward()
        >>> memory.saved_peak, memory.live_peak
        (4000, 8008)
    """
    memory = LiveMemory(excluded)
    with torch.autograd.graph.saved_tensors_hooks(memory._pack, Kept.unpack), _Births(memory):
        yield memory
