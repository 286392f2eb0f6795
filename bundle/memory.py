"""Memory of the C library: reused while a step runs, returned to the system after it.

By default glibc gets large blocks from the system and returns them at once, so that a loop whose temporaries have 20 MB
spends a quarter of its time on fresh pages; smaller blocks it keeps for ever. Other C libraries are left alone.
"""

from __future__ import annotations

import ctypes
import sys
from functools import cache

M_MMAP_MAX = -4  # of malloc.h: how many blocks may come from the system by themselves
M_TRIM_THRESHOLD = -1  # free memory at the end of the heap that is kept, bytes
KEEP_ALL = 2**31 - 1


def reuse_freed_memory() -> None:
    """Keep what is freed, of any size, for the next allocation."""
    libc = _glibc()
    if libc is not None:
        libc.mallopt(M_MMAP_MAX, 0)
        libc.mallopt(M_TRIM_THRESHOLD, KEEP_ALL)


def return_freed_memory() -> None:
    """Return what has been freed to the system."""
    libc = _glibc()
    if libc is not None:
        libc.malloc_trim(0)


@cache
def _glibc() -> ctypes.CDLL | None:
    if sys.platform != "linux":
        return None
    libc = ctypes.CDLL(None)
    return libc if hasattr(libc, "malloc_trim") and hasattr(libc, "mallopt") else None
