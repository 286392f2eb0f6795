"""Register a series of scans to one of them: the phases of a 4DCT, or the visits of a patient."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Literal

sys.path.insert(0, str(Path(__file__).absolute().parents[1]))  # run as a file, from any folder

from scripts.cli import quiet, run


def register_series(
    output_dir: str,
    fixed: str | None = None,
    moving: list[str] | None = None,
    dicom: str | None = None,
    dicom_series: str | None = None,
    reference: str | None = None,
    landmarks: str | None = None,
    landmark_system: Literal["dirlab", "voxel0", "lps", "ras"] | None = None,
    labels: str | None = None,
    transitivity: int = 2,
    refine: str | None = None,
    refine_budget_s: float | None = None,
    spacing_mm: float | None = None,
    weights: str | None = None,
    overwrite: bool = False,
) -> None:
    """Register every scan of a series to its reference; write the results of each, and motion, means and trajectories.

    Each scan has a folder with the files of scripts.register. For the whole series: amplitude_lr.nii.gz, _ap, _si, _3d
    (motion peak to peak, mm), trajectories.csv, motion.csv, labels.csv and trajectories.png, maximum_intensity.nii.gz,
    mean_on_reference.nii.gz, mean_position.nii.gz, animation.gif, series.csv and, written last, series.json. Finished
    scans are skipped when the command is repeated. The last line says what was found. Scans that cannot be registered
    are listed; the exit code is then 3.

    Args:
        output_dir: folder for the results, created if missing.
        fixed: scan that the others are registered to.
        moving: the other scans in the order of the cycle, separated by spaces or commas; without --fixed all scans.
        dicom: DICOM folder with all phases or volumes of the series, instead of --fixed and --moving.
        dicom_series: series of the DICOM folder, of several: SeriesInstanceUID, or a regular expression that occurs in
            the SeriesDescription; it may match several, such as one for each phase.
        reference: name of the scan that the others are registered to: of a file without its suffix, or of a phase; by
            default the one whose lung volume is nearest the mean.
        landmarks: points in the reference; DIR-Lab, elastix, 3D Slicer or csv file.
        landmark_system: coordinates of a landmark file that states none: "dirlab" (voxels from 1), "voxel0" (voxels
            from 0), "lps" or "ras" (mm).
        labels: label map on the reference; its lungs by default.
        transitivity: how many pairs of neighbours are also registered directly, to compare.
        refine: instance optimisation: "field" (default), "network" or "none".
        refine_budget_s: time limit of each instance optimisation, seconds; none by default.
        spacing_mm: voxel size of the grid that carries the fields, 0.5 to 10 mm; 1.5 by default.
        weights: weights file of the network, with its recipe beside it; the released one by default.
        overwrite: also register the finished scans.
    """
    if (dicom is None) == (moving is None):
        raise ValueError("expected either --moving (with or without --fixed) or --dicom")
    if fixed is not None and (moving is None or reference is not None):
        raise ValueError("--fixed: expected --moving, and no --reference: FIXED is the reference")
    if dicom_series is not None and dicom is None:
        raise ValueError(f"--dicom_series: expected --dicom, the folder to choose series {dicom_series!r} from")
    from bundle.formats import check_files
    from bundle.voxel_size import check_voxel_mm

    check_voxel_mm("--spacing_mm", spacing_mm)
    check_files({"labels": labels, "fixed": fixed}, {"landmarks": landmarks, "weights": weights})
    quiet()
    from bundle.refusals import FAILED
    from bundle.series import members_of_dicom, members_of_files, summary_line
    from bundle.series import register_series as register

    if dicom is not None:
        members = members_of_dicom(dicom, dicom_series)
    else:
        members = members_of_files([*([fixed] if fixed else []), *(moving or [])])
    options = {"refine": refine, "refine_budget_s": refine_budget_s, "spacing_mm": spacing_mm, "weights": weights}
    report = register(
        members,
        output_dir,
        reference=members[0].name if fixed else reference,
        landmarks=landmarks,
        landmark_system=landmark_system,
        labels=labels,
        transitivity=transitivity,
        overwrite=overwrite,
        options={name: value for name, value in options.items() if value is not None},
    )
    print(summary_line(report, output_dir))
    if report["failed"]:
        raise SystemExit(FAILED)


if __name__ == "__main__":
    run(register_series)
