"""A pair of scans: its files, and the keys it carries through the transforms."""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, TypedDict

from monai.data import MetaTensor
from torch import Tensor

File = str | Path | None


@dataclass(frozen=True, kw_only=True)
class PairFiles:
    """The files of a pair, as pairs files, `configs/inference.json` and MONAI Label requests name them.

    Args:
        fixed: scan whose grid carries the results, inhale for lungs.
        moving: scan that is warped, exhale for lungs.
        fixed_mask, moving_mask: lung masks.
        fixed_landmarks, moving_landmarks: matching points.
        initial_transform: linear ITK transform, fixed to moving; replaces the initial alignment.
        displacement: ground-truth field of a synthetic pair, for training.
        fixed_series, moving_series: series of a DICOM folder with several: SeriesInstanceUID, or a regular expression
            that occurs in the SeriesDescription; `#` and a name choose a phase (`UID#30`).
        landmark_system: coordinates of landmark files that state none: see `bundle.io.read_landmarks`.
    """

    fixed: File = None
    moving: File = None
    fixed_mask: File = None
    moving_mask: File = None
    fixed_landmarks: File = None
    moving_landmarks: File = None
    initial_transform: File = None
    displacement: File = None
    fixed_series: str | None = None
    moving_series: str | None = None
    landmark_system: str | None = None

    def given(self) -> dict[str, str]:
        """The files and options that are given, by key."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        return {key: str(value) for key, value in values.items() if value not in (None, "")}


OPTION_KEYS = ("fixed_series", "moving_series", "landmark_system")  # not files
FILE_KEYS = tuple(field.name for field in fields(PairFiles) if field.name not in OPTION_KEYS)


class Pair(TypedDict, total=False):
    """What a pair carries through the transforms, in the order in which it appears.

    `_net` marks volumes on the network grid, `_vox` and `_mm` units; world coordinates are RAS mm.
    """

    # read
    name: str  # also the name of its result folder
    output_dir: str
    given: str  # JSON object: the files and options of `PairFiles` that were given, for the report
    fixed: MetaTensor  # (1, H, W, D), HU, own grid; float32, from NetworkGridd on int16 if all voxels are whole numbers
    moving: MetaTensor
    fixed_series: str  # of a DICOM folder with several
    moving_series: str
    fixed_mask: MetaTensor  # (1, H, W, D) uint8, on the grid of its scan
    moving_mask: MetaTensor
    fixed_landmarks: Tensor  # (N, 3) float64, mm
    moving_landmarks: Tensor
    landmark_system: str  # of files that state none
    landmark_names: str  # JSON list of the label and description of each fixed landmark
    warnings: list[str]  # HounsfieldUnitsd and later steps; None after an engine if empty
    fixed_sha256: str  # ContentHashd
    moving_sha256: str
    # LungRegiond
    fixed_lungs: MetaTensor  # (1, H, W, D) uint8, 1 right, 2 left; until InitialAlignmentd
    moving_lungs: MetaTensor
    fixed_lungs_found: bool  # False: the whole image is the region
    moving_lungs_found: bool
    fixed_mask_given: bool  # the user's own
    moving_mask_given: bool
    implausible: list[str]  # PlausibleGeometryd: signs of a wrong header; None after an engine if empty
    start_affine: Tensor  # (4, 4) float64, where InitialAlignmentd may begin, fixed world to moving world, mm
    # InitialAlignmentd, ReadInitialTransformd
    initial_affine: Tensor  # (4, 4) float64, fixed world to moving world, mm
    # NetworkGridd
    grid_to_fixed: Tensor  # (4, 4) float64, voxels of the network grid to the fixed world, mm
    grid_to_moving: Tensor
    moving_affine: Tensor  # (4, 4), voxels of the moving scan to its world, mm
    fixed_net: MetaTensor  # (1, h, w, d), network grid; HU, then the window scaled to [0, 1]; inference keeps `image`
    moving_net: MetaTensor
    mask_net: MetaTensor  # (1, h, w, d), fixed lungs, soft edges
    ground_truth_net: MetaTensor  # (4, h, w, d), GroundTruthFieldd: ddf in voxels, and 1 where it is known
    image: MetaTensor  # (2, h, w, d), fixed and moving: input of the network
    # the evaluator
    pred: Tensor  # (3, h, w, d), ddf in voxels of the network grid
    # MapLandmarksd
    aligned_landmarks: Tensor  # (N, 3) float64, mm, fixed landmarks after the initial alignment
    mapped_landmarks: Tensor  # after the whole transform
    # ResultsOnNetworkGridd
    warped_net: Tensor  # (1, h, w, d)
    jacobian_net: Tensor  # (1, h, w, d), of the ddf
    # ResultsOnNativeGridsd
    inverse_ddf: Tensor  # (3, h, w, d), inverse of `pred`, voxels
    warped: MetaTensor  # (1, H, W, D) int16, HU, on the fixed grid
    # ScoreRegistrationd
    lncc_aligned: float
    lncc_registered: float
    folding_percent: float
    sd_log_jacobian: float
    lung_dice: dict[str, float]
    time_s: float
    # TimedCompose
    seconds_by_step: dict[str, Any]
