"""How many threads work deserves: those of kernels that ctypes calls, and those of torch's small products.

ctypes lets go of the interpreter, so plain threads run at once.
"""

from __future__ import annotations

import contextlib
import functools
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import torch

PARALLEL_FROM = 1 << 15
"""Elementary operations below which a second thread costs more than it saves."""
PRODUCT_FROM = 1 << 23
"""Multiply-adds of a dense product in a loop over time from which torch may spread it. Waking a second thread that
sleeps takes some 50 to 100 microseconds, and such a loop wakes it anew for every product."""
UPDATE_FROM = 1 << 25
"""The same for the largest product of an update: around it stand many small operations, each of which wakes threads."""


@functools.lru_cache(maxsize=4)
def _pool(workers: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(workers, thread_name_prefix="spikeworks-kernel")


if hasattr(os, "register_at_fork"):  # a forked child inherits the pool, but not its threads
    os.register_at_fork(after_in_child=_pool.cache_clear)


def workers_for(work: int) -> int:
    """How many threads that much work deserves, at most as many as torch uses."""
    return max(1, min(torch.get_num_threads(), work // PARALLEL_FROM))


def in_threads(part: Callable[[int, int], None], count: int, *, work: int, align: int = 1) -> None:
    """Call ``part(first, last)`` on consecutive ranges that cover ``0..count``, side by side.

    Args:
        part: fills its own range of the result and nothing else.
        count: number of items.
        work: elementary operations of all items together; little work stays in this thread.
        align: cuts are multiples of it, to keep vectors whole and cache lines apart.
    """
    workers = min(workers_for(work), count // align)
    if workers <= 1:
        part(0, count)
        return
    cuts = [round(count * w / workers / align) * align for w in range(workers)] + [count]
    pending = [_pool(workers - 1).submit(part, cuts[w], cuts[w + 1]) for w in range(1, workers)]
    part(cuts[0], cuts[1])
    for future in pending:
        future.result()


@contextlib.contextmanager
def products_of(work: int, enough: int = PRODUCT_FROM) -> Iterator[None]:
    """Around many products of ``work`` multiply-adds each: below ``enough``, torch stays in this thread."""
    threads = torch.get_num_threads()
    if threads == 1 or work >= enough:
        yield
        return
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
