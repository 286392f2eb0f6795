"""The initial alignment on its own, as a field: a row of the benchmark."""

from __future__ import annotations

from pathlib import Path

import fire
import torch
from monai.bundle import ConfigParser

from bundle.data import make_pair
from bundle.geometry import WorldTransform
from bundle.io import write_displacement

CONFIG = Path(__file__).resolve().parents[2] / "configs" / "inference.json"


def align(fixed: str, moving: str, out: str, fixed_mask: str | None = None, moving_mask: str | None = None) -> None:
    """Align MOVING to FIXED as configs/inference.json does before the network, and write OUT/displacement.nii.gz.

    Args:
        fixed: the scan whose grid carries the result.
        moving: the scan that is moved.
        out: folder for the result, made if missing.
        fixed_mask: lung mask of FIXED; found automatically if missing.
        moving_mask: lung mask of MOVING; found automatically if missing.
    """
    parser = ConfigParser()
    parser.read_config(CONFIG)
    (pair,) = make_pair(fixed=fixed, moving=moving, fixed_mask=fixed_mask, moving_mask=moving_mask)
    prepared = parser.get_parsed_content("preprocessing")(pair)
    scan = prepared["fixed"]
    nowhere = torch.zeros(1, 3, 2, 2, 2)  # no field besides the affine, whatever the grid
    transform = WorldTransform(nowhere, torch.eye(4, dtype=torch.float64), prepared["initial_affine"])
    Path(out).mkdir(parents=True, exist_ok=True)
    field_mm = transform.displacement_mm((scan.shape[1], scan.shape[2], scan.shape[3]), scan.affine)
    write_displacement(Path(out) / "displacement.nii.gz", field_mm, scan.affine)


if __name__ == "__main__":
    fire.Fire(align)
