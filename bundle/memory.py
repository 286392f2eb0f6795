"""Memory of the C library, reused while a step runs and returned to the system after it; and of Python's imports.

By default glibc gets large blocks from the system and returns them at once, so that a loop whose temporaries have 20 MB
spends a quarter of its time on fresh pages; smaller blocks it keeps for ever. Other C libraries are left alone.

Imports leave 400,000 Python objects, none of them garbage. Python looks through them again and again while it imports,
and once more at the exit, which takes 1.4 s of a command.
"""

from __future__ import annotations

import atexit
import ctypes
import gc
import sys
from functools import cache

M_MMAP_MAX = -4  # of malloc.h: how many blocks may come from the system by themselves
M_TRIM_THRESHOLD = -1  # free memory at the end of the heap that is kept, bytes
KEEP_ALL = 2**31 - 1
USUAL_THRESHOLDS = gc.get_threshold()
IMPORT_THRESHOLD = 50_000  # new objects after which Python searches for garbage


def import_quickly() -> None:
    """Search for garbage rarely until `reuse_freed_memory`, and not among all objects at the exit of the process."""
    gc.set_threshold(IMPORT_THRESHOLD)
    atexit.register(gc.freeze)


def reuse_freed_memory() -> None:
    """Keep what is freed, of any size, for the next allocation; ends `import_quickly`."""
    if gc.get_threshold()[0] == IMPORT_THRESHOLD:
        gc.freeze()
        gc.set_threshold(*USUAL_THRESHOLDS)
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
