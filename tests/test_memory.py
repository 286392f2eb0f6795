from __future__ import annotations

import ctypes
import subprocess
import sys

import pytest

from bundle.memory import return_freed_memory, reuse_freed_memory

HAS_GLIBC = sys.platform == "linux" and hasattr(ctypes.CDLL(None), "mallopt")
needs_glibc = pytest.mark.skipif(not HAS_GLIBC, reason="other C libraries are left alone")

PAGES = """
import resource
from bundle.memory import return_freed_memory, reuse_freed_memory

def resident_mib():
    return int(open("/proc/self/statm").read().split()[1]) * resource.getpagesize() / 2**20

def block(mib):
    return b"1" * (mib << 20)

def faults_of_a_loop():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(20):
        first, second, third = block(20), block(20), block(20)
        del first, second, third
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
"""


def printed(code: str) -> list[float]:
    """What a process of its own prints: the settings of the C library last as long as the process."""
    done = subprocess.run([sys.executable, "-c", PAGES + code], check=True, capture_output=True, text=True)
    return [float(value) for value in done.stdout.split()]


@needs_glibc
def test_temporaries_of_a_loop_take_fresh_pages_once_instead_of_every_time() -> None:
    before, after = printed("print(faults_of_a_loop()); reuse_freed_memory(); print(faults_of_a_loop())")
    assert before > 500  # 300,000 if pages have 4 kB, 600 if they have 2 MB
    assert after < before / 10


@needs_glibc
def test_what_was_freed_is_kept_until_it_is_returned() -> None:
    start_mib, kept_mib, returned_mib = printed(
        """
reuse_freed_memory()
print(resident_mib())
blocks = [block(20) for _ in range(15)]
between = block(1)  # the heap's end is in use: it cannot just shrink
del blocks
print(resident_mib())
return_freed_memory()
print(resident_mib())
"""
    )
    assert kept_mib - start_mib > 290
    assert returned_mib - start_mib < 30


def test_both_do_nothing_where_the_c_library_is_another(monkeypatch: pytest.MonkeyPatch) -> None:
    from bundle import memory

    monkeypatch.setattr(memory, "_glibc", lambda: None)
    reuse_freed_memory()
    return_freed_memory()
