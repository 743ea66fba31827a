"""Keep freed memory in the process, so that large tensors do not fault fresh pages each step.

glibc gives every allocation above 32 MB back to the system when it is freed, and the next one
maps new pages, zeroed by the kernel: for a layer of T=784, B=64, N=256 that took more than
twice the time of the fused forward and backward together. Training allocates the same sizes
over and over, so the memory is kept. ``SPIKEWORKS_PAGES=system`` leaves the allocator alone.
"""

from __future__ import annotations

import ctypes
import functools
import os
import platform

_M_TRIM_THRESHOLD, _M_MMAP_MAX = -1, -4


@functools.lru_cache(maxsize=1)
def keep_pages() -> bool:
    """Tell glibc to keep freed memory, once a process; false where it does not apply."""
    if os.environ.get("SPIKEWORKS_PAGES") == "system" or platform.libc_ver()[0] != "glibc":
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):
        return False
    return bool(mallopt(_M_MMAP_MAX, 0) and mallopt(_M_TRIM_THRESHOLD, 2**31 - 1))
