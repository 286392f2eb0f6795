"""Generate data sets of breathing thorax phantoms, or draw one phantom."""

from __future__ import annotations

import logging
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).absolute().parents[1]))  # run as a file, from any folder

from scripts.cli import run

log = logging.getLogger(__name__)
PICTURE_SPACING_MM = (1.5, 1.5, 1.5)


def make_phantoms(
    output_dir: str,
    num_training: int = 8,
    num_validation: int = 2,
    num_test: int = 3,
    seed: int = 0,
    spacing_mm: tuple[float, float, float] = (2.0, 2.0, 2.5),
) -> None:
    """Write phantom cases (NIfTI, csv) and OUTPUT_DIR/pairs.json; existing cases are kept.

    Args:
        output_dir: folder, created if missing.
        num_training: training cases.
        num_validation: validation cases.
        num_test: test cases.
        seed: equal seeds give equal cases.
        spacing_mm: voxel size of the fixed scans.
    """
    from bundle.synthetic.phantom import write_phantoms

    path = write_phantoms(
        output_dir,
        num_training=num_training,
        num_validation=num_validation,
        num_test=num_test,
        seed=seed,
        spacing_mm=spacing_mm,
    )
    log.info("%s: %d cases", path, num_training + num_validation + num_test)


def draw(output: str = "docs/pictures/phantom.png", seed: int = 0) -> None:
    """Draw the fixed and moving scan, landmarks and motion of one phantom.

    Args:
        output: PNG file; its folder is created if missing.
        seed: seed of the phantom.
    """
    from bundle.synthetic.phantom import make_phantom
    from bundle.synthetic.phantom.picture import draw_phantom

    Path(output).parent.mkdir(parents=True, exist_ok=True)
    draw_phantom(make_phantom(seed, spacing_mm=PICTURE_SPACING_MM), Path(output))
    log.info("%s: phantom %d", output, seed)


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    run({"write": make_phantoms, "draw": draw}, old_names={"out": ("output_dir", "output")})
