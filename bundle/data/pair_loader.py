"""Pairs, one read ahead."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from monai.data import DataLoader


class PairLoader(DataLoader):
    """MONAI's DataLoader that reads and preprocesses the next pair in a thread while the caller computes this one.

    One pair ahead: its scans and masks are in memory as well, 10 bytes a voxel of both scans. What the next pair raises
    is raised when it is its turn, unlike in MONAI's ThreadBuffer, which ends as if there were no more.
    """

    def __iter__(self) -> Iterator[Any]:
        batches = super().__iter__()
        pool = ThreadPoolExecutor(1)
        try:
            coming = pool.submit(next, batches, None)
            while (batch := coming.result()) is not None:
                coming = pool.submit(next, batches, None)
                yield batch
                del batch  # before the next one is complete
        finally:
            pool.shutdown(wait=False, cancel_futures=True)
