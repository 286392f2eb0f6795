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
    return [float({"True": 1, "False": 0}.get(value, value)) for value in done.stdout.split()]


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


IMPORTS = """
import atexit, gc
from bundle.memory import import_quickly, reuse_freed_memory

usual = gc.get_threshold()
import_quickly()
"""


def test_garbage_is_sought_rarely_until_the_work_begins_and_then_not_among_what_was_imported() -> None:
    rarely, usual, among_imports = printed(
        IMPORTS
        + """
print(gc.get_threshold()[0] / usual[0])
kept = [[] for _ in range(1000)]
reuse_freed_memory()
print(gc.get_threshold() == usual)
print(sum(found is kept for found in gc.get_objects()))
"""
    )
    assert rarely > 10
    assert usual == 1
    assert among_imports == 0


def test_nothing_is_sought_at_the_exit() -> None:
    """The last search runs after what atexit calls: what is registered first is called last."""
    (frozen,) = printed("import atexit, gc\natexit.register(lambda: print(gc.get_freeze_count() > 1000))" + IMPORTS)
    assert frozen == 1


def test_a_process_that_imports_as_usual_keeps_its_garbage_collection() -> None:
    (frozen,) = printed("import gc\nreuse_freed_memory()\nprint(gc.get_freeze_count())")
    assert frozen == 0
