"""Make pairs with a ground-truth field from single CTs, or draw six of them."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

import fire

from bundle.synthetic.breath.dataset import read_with_lungs, write_breaths
from bundle.synthetic.breath.picture import draw_simulated_motion
from bundle.synthetic.breath.rand_simulate_motion import RandSimulateMotiond

log = logging.getLogger(__name__)
SAMPLES = 6  # in the picture


def write(
    scans: Sequence[str] | str,
    out: str,
    num_training: int = 24,
    num_validation: int = 2,
    num_test: int = 3,
    seed: int = 0,
    workers: int = 1,
) -> None:
    """Write simulated pairs (NIfTI, csv) and OUT/pairs.json; pairs already there from the same arguments are kept.

    Each section takes the scans in turn from the first on: with 3 scans, 24 training pairs are 8 breaths of each, and 2
    validation pairs one breath each of the first two. The sections thus share patients, never breaths: call twice, with
    other scans and folders, for pairs of patients that were not trained on.

    Args:
        scans: CTs at inhale, of different file names: --scans A,B,C.
        out: folder, made if missing.
        num_training: pairs to train on.
        num_validation: pairs to choose a checkpoint by.
        num_test: pairs to report.
        seed: gives the same pairs again, whatever the numbers of pairs are.
        workers: pairs made at a time, by threads of this process; each needs about 3 GB. The pairs do not depend on it.
    Raises: ValueError if two scans have the same file name, or one has no lung.
    """
    paths = [Path(scan) for scan in (scans.split(",") if isinstance(scans, str) else scans)]
    file = write_breaths(
        out,
        scans=paths,
        num_training=num_training,
        num_validation=num_validation,
        num_test=num_test,
        seed=seed,
        workers=workers,
    )
    log.info("%s: %d pairs", file, num_training + num_validation + num_test)


def draw(scan: str, out: str = "docs/pictures/simulated_motion.png", seed: int = 0) -> None:
    """Draw six pairs made from the CT SCAN into the picture OUT.

    Args:
        scan: CT at inhale.
        out: a PNG; its folder is made if missing.
        seed: gives the same pairs again.
    Raises: ValueError if the scan has no lung.
    """
    Path(out).parent.mkdir(parents=True, exist_ok=True)
    image, mask = read_with_lungs(Path(scan))
    simulate = RandSimulateMotiond("scan")
    simulate.set_random_state(seed=seed)
    samples = [simulate({"scan": image, "scan_mask": mask}) for _ in range(SAMPLES)]
    draw_simulated_motion(samples, Path(out))
    log.info("%s: %d pairs from %s", out, SAMPLES, scan)


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    fire.Fire({"write": write, "draw": draw})
