"""Every process of a distributed run needs a pair."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


def check_enough_pairs(
    *, training: Sequence[Any], validation: Sequence[Any], test: Sequence[Any], processes: int
) -> None:
    """Check the sections of a data set before any scan is read.

    Args:
        training, validation, test: pairs.
        processes: of the run.
    Raises: ValueError naming the sections with fewer pairs than processes.
    """
    sections = {"training": training, "validation": validation, "test": test}
    small = [f"{name} ({len(pairs)})" for name, pairs in sections.items() if len(pairs) < processes]
    if small:
        raise ValueError(
            f"dataset_dir: expected a pair for each of the {processes} processes in every section, found fewer in "
            f"{', '.join(small)}; add pairs, or start fewer processes (--nproc_per_node)"
        )
