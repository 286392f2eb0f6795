"""Make breathing thorax phantoms on disk, or draw one."""

from __future__ import annotations

import logging
from pathlib import Path

import fire

from bundle.synthetic.phantom import make_phantom, write_phantoms
from bundle.synthetic.phantom.picture import draw_phantom

log = logging.getLogger(__name__)
PICTURE_SPACING_MM = (1.5, 1.5, 1.5)


def make_phantoms(
    out: str,
    num_training: int = 8,
    num_validation: int = 2,
    num_test: int = 3,
    seed: int = 0,
    spacing_mm: tuple[float, float, float] = (2.0, 2.0, 2.5),
) -> None:
    """Write phantom cases (NIfTI, csv) and OUT/pairs.json; cases already there are kept.

    Args:
        out: folder, made if missing.
        num_training: cases to train on.
        num_validation: cases to choose a checkpoint by.
        num_test: cases to report.
        seed: gives the same cases again.
        spacing_mm: voxel size of the fixed scans.
    """
    path = write_phantoms(
        out,
        num_training=num_training,
        num_validation=num_validation,
        num_test=num_test,
        seed=seed,
        spacing_mm=spacing_mm,
    )
    log.info("%s: %d cases", path, num_training + num_validation + num_test)


def draw(out: str = "docs/pictures/phantom.png", seed: int = 0) -> None:
    """Draw the phantom of SEED, fixed and moving with landmarks and motion, into the picture OUT."""
    Path(out).parent.mkdir(parents=True, exist_ok=True)
    draw_phantom(make_phantom(seed, spacing_mm=PICTURE_SPACING_MM), Path(out))
    log.info("%s: phantom %d", out, seed)


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    fire.Fire({"write": make_phantoms, "draw": draw})
