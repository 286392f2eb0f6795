"""Register one scan to another: `configs/inference.json` as a command."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from scripts.cli import quiet, run

BUNDLE_ROOT = Path(__file__).resolve().parents[1]


def register(
    fixed: str,
    moving: str,
    output_dir: str,
    fixed_mask: str | None = None,
    moving_mask: str | None = None,
    fixed_landmarks: str | None = None,
    moving_landmarks: str | None = None,
    initial_transform: str | None = None,
    refine: str | None = None,
    refine_budget_s: float | None = None,
    spacing_mm: float | None = None,
    weights: str | None = None,
    write: str | Sequence[str] | None = None,
) -> None:
    """Warp MOVING to FIXED and write the result, the displacement field in mm and a report to OUTPUT_DIR.

    Scans may be NIfTI, MHA/MHD, NRRD or a folder with one DICOM series, each on its own grid.

    Args:
        fixed: scan whose grid carries the results, inhale for lungs.
        moving: scan that is warped, exhale for lungs.
        output_dir: folder for the results, created if missing.
        fixed_mask: lung mask of FIXED; segmented automatically if missing.
        moving_mask: lung mask of MOVING; segmented automatically if missing.
        fixed_landmarks: points in FIXED, mapped to MOVING; DIR-Lab, elastix, 3D Slicer or csv file.
        moving_landmarks: their counterparts in MOVING; with both, the report has the target registration error.
        initial_transform: linear ITK transform, fixed to moving; replaces the automatic alignment.
        refine: instance optimisation: "field" (default) optimises the network's field on this pair, "network"
            fine-tunes a copy of the network on it, "none" returns the network's field.
        refine_budget_s: time limit of the instance optimisation, seconds; none by default.
        spacing_mm: voxel size of the grid that carries the field, 1.5 by default.
        weights: weights file of the network, with its recipe beside it; the released one by default.
        write: further results, separated by commas: transform (the result as an ITK transform, transform.h5).
    """
    from monai.bundle import ConfigParser

    options = {
        "fixed": fixed,
        "moving": moving,
        "output_dir": output_dir,
        "fixed_mask": fixed_mask,
        "moving_mask": moving_mask,
        "fixed_landmarks": fixed_landmarks,
        "moving_landmarks": moving_landmarks,
        "initial_transform": initial_transform,
        "refine": refine,
        "refine_budget_s": refine_budget_s,
        "spacing_mm": spacing_mm,
        "weights": weights,
        "write": write.split(",") if isinstance(write, str) else write,
    }
    quiet()
    parser = ConfigParser()
    parser.read_config(BUNDLE_ROOT / "configs" / "inference.json")
    parser.update(
        {"bundle_root": str(BUNDLE_ROOT), **{key: value for key, value in options.items() if value is not None}}
    )
    parser.get_parsed_content("inference")


if __name__ == "__main__":
    run(register, old_names={"out": "output_dir"})
