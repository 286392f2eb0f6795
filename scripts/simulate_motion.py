"""Generate pairs with a ground-truth field from single CTs, or draw six of them."""

from __future__ import annotations

import logging
import sys
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).absolute().parents[1]))  # run as a file, from any folder

from scripts.cli import run

log = logging.getLogger(__name__)
SAMPLES = 6  # in the picture


def write(
    scans: Sequence[str] | str,
    output_dir: str,
    num_training: int = 24,
    num_validation: int = 2,
    num_test: int = 3,
    seed: int = 0,
    workers: int = 1,
    clinical: bool = False,
    hard: bool = False,
) -> None:
    """Write simulated pairs (NIfTI, csv) and OUTPUT_DIR/pairs.json; existing pairs with the same arguments are kept.

    Each section cycles through the scans: with 3 scans, 24 training pairs are 8 breaths of each scan, and 2 validation
    pairs are one breath of each of the first two. Sections share patients but no breaths. For held-out patients, run
    the command again with other scans and another folder.

    Args:
        scans: CTs at inhale with different file names: --scans A,B,C.
        output_dir: folder, created if missing.
        num_training: training pairs.
        num_validation: validation pairs.
        num_test: test pairs.
        seed: equal seeds give equal pairs, independent of the numbers of pairs.
        workers: pairs generated at a time, in threads; each needs about 3 GB. Pairs do not depend on it.
        clinical: write scans of 512 x 512 voxels of 0.6 mm with slices of 2.5 mm around the lungs, to measure speed and
            memory; each pair needs about 7 GB.
        hard: make the scans of each pair differ: own vessel contrast and calibre, density, gravity gradient, texture,
            kernel, noise (15 to 80 HU), slices (1 to 5 mm) and field of view, and contrast agent in one of them. The
            breaths are those of the same seed without it.
    Raises: ValueError if two scans have the same file name, or no lung is found in a scan, or both `clinical`
        and `hard` are set.
    """
    if clinical and hard:
        raise ValueError("clinical, hard: expected at most one of them, got both")
    from bundle.formats import check_image_file

    names = [scans] if isinstance(scans, str) and Path(scans).exists() else scans  # a name may hold a comma
    paths = [Path(scan) for scan in (names.split(",") if isinstance(names, str) else names)]
    for path in paths:
        check_image_file(path)  # before the seconds that torch takes to load
    from bundle.synthetic.breath.dataset import write_breaths

    file = write_breaths(
        output_dir,
        scans=paths,
        num_training=num_training,
        num_validation=num_validation,
        num_test=num_test,
        seed=seed,
        workers=workers,
        clinical=clinical,
        hard=hard,
    )
    log.info("%s: %d pairs", file, num_training + num_validation + num_test)


def draw(scan: str, output: str = "docs/pictures/simulated_motion.png", seed: int = 0) -> None:
    """Draw six pairs simulated from the CT SCAN.

    Args:
        scan: CT at inhale.
        output: PNG file; its folder is created if missing.
        seed: equal seeds give equal pairs.
    Raises: ValueError if no lung is found in the scan.
    """
    from bundle.formats import check_image_file

    check_image_file(scan)
    from bundle.synthetic.breath import RandSimulateMotiond
    from bundle.synthetic.breath.dataset import read_with_lungs
    from bundle.synthetic.breath.picture import draw_simulated_motion

    Path(output).parent.mkdir(parents=True, exist_ok=True)
    image, mask = read_with_lungs(Path(scan))
    simulate = RandSimulateMotiond("scan")
    simulate.set_random_state(seed=seed)
    samples = [simulate({"scan": image, "scan_mask": mask}) for _ in range(SAMPLES)]
    draw_simulated_motion(samples, Path(output))
    log.info("%s: %d pairs from %s", output, SAMPLES, scan)


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    run({"write": write, "draw": draw}, old_names={"out": ("output_dir", "output")})
