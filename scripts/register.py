"""Register one scan to another: the front door of the inference workflow."""

from __future__ import annotations

from pathlib import Path

import fire
from monai.bundle import run

BUNDLE_ROOT = Path(__file__).resolve().parents[1]


def register(
    fixed: str,
    moving: str,
    out: str,
    fixed_mask: str | None = None,
    moving_mask: str | None = None,
    fixed_landmarks: str | None = None,
    moving_landmarks: str | None = None,
    initial_transform: str | None = None,
    refine: str | None = None,
    refine_budget_s: float | None = None,
    weights: str | None = None,
    write: str | None = None,
) -> None:
    """Warp MOVING onto FIXED and write the result, the displacement field in mm and a report to OUT.

    Scans may be NIfTI, MHA/MHD, NRRD or a folder with one DICOM series, each on its own grid.

    Args:
        fixed: the scan whose grid carries the results, inhale for lungs.
        moving: the scan that is warped, exhale for lungs.
        out: folder for the results, made if missing.
        fixed_mask: lung mask of FIXED; found automatically if missing.
        moving_mask: lung mask of MOVING; found automatically if missing.
        fixed_landmarks: points in FIXED, carried to MOVING; DIR-Lab, elastix, 3D Slicer or csv file.
        moving_landmarks: their counterparts in MOVING; with both, the report holds the target registration error.
        initial_transform: linear ITK transform, fixed to moving; replaces the automatic alignment.
        refine: "field" (default) to refine the network's field on this pair, "network" to fine-tune the network on it,
            "none" for the network alone.
        refine_budget_s: seconds after which the refinement ends with what it has; no limit if missing.
        weights: the network's weights; the released ones if missing.
        write: "transform" to write the result as an ITK transform (transform.h5) too.
    """
    options = {
        "fixed_mask": fixed_mask,
        "moving_mask": moving_mask,
        "fixed_landmarks": fixed_landmarks,
        "moving_landmarks": moving_landmarks,
        "initial_transform": initial_transform,
        "refine": refine,
        "refine_budget_s": refine_budget_s,
        "weights": weights,
        "write": write,
    }
    run(
        run_id="inference",
        config_file=str(BUNDLE_ROOT / "configs" / "inference.json"),
        bundle_root=str(BUNDLE_ROOT),
        fixed=fixed,
        moving=moving,
        output_dir=out,
        **{name: value for name, value in options.items() if value is not None},
    )


if __name__ == "__main__":
    fire.Fire(register)
