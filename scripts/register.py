"""Register one scan to another: `configs/inference.json` as a command."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

sys.path.insert(0, str(Path(__file__).absolute().parents[1]))  # run as a file, from any folder

from scripts.cli import quiet, run

BUNDLE_ROOT = Path(__file__).absolute().parents[1]


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
    maps: str | Sequence[str] | None = None,
    smooth_mm: float | None = None,
    fixed_series: str | None = None,
    moving_series: str | None = None,
    landmark_system: Literal["dirlab", "voxel0", "lps", "ras"] | None = None,
) -> None:
    """Warp MOVING to FIXED and write the result, the transform and a report to OUTPUT_DIR.

    Scans may be NIfTI, MHA/MHD, NRRD or a DICOM folder, each on its own grid. A DICOM folder is searched with its
    subfolders; its only CT volume is read. The last line is the verdict on the result; the exit code is 3 if it is
    "failed".

    Args:
        fixed: scan whose grid carries the results, inhale for lungs.
        moving: scan that is warped, exhale for lungs.
        output_dir: folder for the results, created if missing.
        fixed_mask: lung mask of FIXED; segmented automatically if missing.
        moving_mask: lung mask of MOVING; segmented automatically if missing.
        fixed_landmarks: points in FIXED, mapped to MOVING; DIR-Lab, elastix, 3D Slicer or csv file.
        moving_landmarks: their counterparts in MOVING; with both, the report has the target registration error.
        initial_transform: linear ITK transform, fixed to moving; replaces the automatic alignment.
        refine: instance optimisation: "field" (default) optimises the network's field on this pair, 3 to 10 s on two
            CPU cores; "network" fine-tunes a copy of the network on it, 20 s to 2 min, and gains less; "none" returns
            the network's field.
        refine_budget_s: time limit of the instance optimisation, seconds; none by default.
        spacing_mm: voxel size of the grid that carries the field, 0.5 to 10 mm; 1.5 by default.
        weights: weights file of the network, with its recipe beside it; the released one by default.
        write: further results, separated by commas: displacement (dense field on the grid of FIXED), inverse (on that
            of MOVING), dicom (of DICOM scans: the warped series and a Deformable Spatial Registration object).
        maps: maps of lung function, separated by commas, or "all"; see `python -m scripts.lung_function --help`.
        smooth_mm: their smoothing: sigma of a Gaussian, mm, 4 by default, 0 for none.
        fixed_series: series of the DICOM folder FIXED, of several: its SeriesInstanceUID, or a regular expression that
            occurs in its SeriesDescription, in any case; "#" and a name choose one of its phases: "UID#30".
        moving_series: series of the DICOM folder MOVING, given in the same way.
        landmark_system: coordinates of landmark files that state none: "dirlab" (voxels from 1), "voxel0" (voxels from
            0), "lps" or "ras" (mm).
    """
    if smooth_mm is not None and maps is None:
        raise ValueError(f"--smooth_mm: expected --maps, the maps that are smoothed, got {smooth_mm:g} mm without maps")
    from bundle.formats import check_files
    from bundle.voxel_size import check_voxel_mm

    check_voxel_mm("--spacing_mm", spacing_mm)
    check_files(  # before the seconds that torch takes to load
        {"fixed": fixed, "moving": moving, "fixed_mask": fixed_mask, "moving_mask": moving_mask},
        {"fixed_landmarks": fixed_landmarks, "moving_landmarks": moving_landmarks, "weights": weights}
        | {"initial_transform": initial_transform},
        {"fixed": fixed_series, "moving": moving_series},
    )
    from bundle.data import config_with
    from bundle.quality import write_verdicts
    from bundle.refusals import FAILED

    options = {
        "fixed": fixed,
        "moving": moving,
        "output_dir": output_dir,
        "fixed_series": fixed_series,
        "moving_series": moving_series,
        "fixed_mask": fixed_mask,
        "moving_mask": moving_mask,
        "fixed_landmarks": fixed_landmarks,
        "moving_landmarks": moving_landmarks,
        "initial_transform": initial_transform,
        "landmark_system": landmark_system,
        "refine": refine,
        "refine_budget_s": refine_budget_s,
        "spacing_mm": spacing_mm,
        "weights": weights,
        "write": write.split(",") if isinstance(write, str) else write,
        "maps": maps,
        "smooth_mm": smooth_mm,
    }
    quiet()
    parser = config_with(BUNDLE_ROOT / "configs" / "inference.json", options)
    pairs = parser.get_parsed_content("pairs")  # what is wrong with them is known before the network is built
    parser.get_parsed_content("evaluator").run()  # not the expression in the config: eval() marks Ctrl-C as unhandled
    if write_verdicts(pairs, parser.get_parsed_content("output_dir")):
        raise SystemExit(FAILED)


if __name__ == "__main__":
    run(register, old_names={"out": "output_dir"})
