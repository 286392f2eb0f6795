"""Initial alignment without a network, written as a displacement field: a method of the benchmark."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).absolute().parents[2]))  # run as a file, from any folder

from scripts.cli import run

CONFIG = Path(__file__).absolute().parents[2] / "configs" / "inference.json"


def align(
    fixed: str, moving: str, output_dir: str, fixed_mask: str | None = None, moving_mask: str | None = None
) -> None:
    """Align MOVING to FIXED by the preprocessing of configs/inference.json; write OUTPUT_DIR/displacement.nii.gz.

    Args:
        fixed: the scan whose grid the field is sampled on.
        moving: the scan that is aligned.
        output_dir: folder for the result, created if missing.
        fixed_mask: lung mask of FIXED; segmented automatically if missing.
        moving_mask: lung mask of MOVING; segmented automatically if missing.
    """
    import torch
    from monai.bundle import ConfigParser

    from bundle.data import PairFiles, make_pair
    from bundle.geometry import WorldTransform
    from bundle.io import write_displacement

    parser = ConfigParser()
    parser.read_config(CONFIG)
    pair = make_pair(PairFiles(fixed=fixed, moving=moving, fixed_mask=fixed_mask, moving_mask=moving_mask))
    prepared = parser.get_parsed_content("preprocessing")(pair)
    scan = prepared["fixed"]
    zero_vox = torch.zeros(1, 3, 2, 2, 2)  # zero on any grid: the transform is the affine alone
    transform = WorldTransform(zero_vox, torch.eye(4, dtype=torch.float64), prepared["initial_affine"])
    Path(output_dir).mkdir(parents=True, exist_ok=True)
    field_mm = transform.displacement_mm((scan.shape[1], scan.shape[2], scan.shape[3]), scan.affine)
    write_displacement(Path(output_dir) / "displacement.nii.gz", field_mm, scan.affine)


if __name__ == "__main__":
    run(align, old_names={"out": "output_dir"})
