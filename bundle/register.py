"""Register a pair of scans from Python: `configs/inference.json`, from memory to memory."""

from __future__ import annotations

import json
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from monai.bundle import ConfigParser
from monai.data import Dataset, MetaTensor
from monai.transforms import LoadImaged
from torch import Tensor

from bundle.apply import Interpolation, warp_labels, warp_scan
from bundle.geometry import WorldTransform
from bundle.io import (
    ImageHeader,
    Recipe,
    check_landmark_pair,
    check_mask,
    invert_transform,
    itk_transform,
    read_image,
    read_landmarks_mm,
    read_linear_transform,
)
from bundle.reports import SaveRegistrationd, registration_report
from bundle.resample import AIR_HU
from bundle.transforms import TimedCompose, world_transform

BUNDLE_ROOT = Path(__file__).resolve().parents[1]
CONFIG = BUNDLE_ROOT / "configs" / "inference.json"
Scan = str | Path | np.ndarray | Tensor
Points = str | Path | np.ndarray | Tensor


@dataclass(frozen=True)
class Registration:
    """A registered pair. Volumes lie on the grids of the given scans; world coordinates are RAS mm.

    Args:
        pair: see `bundle.data.Pair`.
        weights, recipe: file of the network's weights and its recipe.
    """

    pair: dict[Hashable, Any]
    weights: Path
    recipe: Recipe

    @property
    def warped(self) -> MetaTensor:
        """The moving scan (1, H, W, D) on the fixed grid, HU."""
        return self.pair["warped"]

    @property
    def displacement(self) -> MetaTensor:
        """x_moving - x_fixed (3, H, W, D), RAS mm, on the fixed grid."""
        return self.pair["displacement_mm"]

    @property
    def inverse_displacement(self) -> MetaTensor:
        """x_fixed - x_moving (3, H, W, D), RAS mm, on the moving grid."""
        return self.pair["inverse_displacement_mm"]

    @property
    def jacobian(self) -> MetaTensor:
        """Determinant (1, H, W, D) of the transform's Jacobian on the fixed grid: local volume change."""
        return self.pair["jacobian"]

    @property
    def transform(self) -> WorldTransform:
        """Fixed world to moving world."""
        return world_transform(self.pair)

    @property
    def report(self) -> dict[str, Any]:
        """Content of report.json: LNCC, folding, seconds; TRE with landmarks, Dice with both masks."""
        return registration_report(self.pair, self.weights, self.recipe)

    def transform_points(self, points_mm: np.ndarray | Tensor) -> Tensor:
        """Map points (N, 3), RAS mm, from the fixed to the moving scan; float64."""
        return self.transform.transform_points_mm(torch.as_tensor(points_mm))

    def warp_scan(
        self,
        scan: str | Path | MetaTensor,
        *,
        inverse: bool = False,
        interpolation: Interpolation = "linear",
        fill: float = AIR_HU,
    ) -> MetaTensor:
        """Another image of the moving scan's world on the fixed grid (1, H, W, D), float32; see `bundle.apply`.

        Args:
            scan: file, or (1, h, w, d) with its affine.
            inverse: from the fixed scan's world to the moving grid instead.
            interpolation: "linear", "bspline" or "nearest".
            fill: value outside the image.
        """
        transform, grid = self._itk_transform(inverse=inverse)
        warped = warp_scan(transform, _volume("scan", scan, None), grid, interpolation, fill)
        return MetaTensor(warped[None], affine=grid.affine)

    def warp_labels(
        self, labels: str | Path | MetaTensor, *, inverse: bool = False, one_hot: bool = False
    ) -> MetaTensor:
        """A label map of the moving scan on the fixed grid (1, H, W, D); 0 outside. Arguments as in `warp_scan`.

        Args:
            one_hot: interpolate each label linearly and take the largest, which gives smoother borders.
        Raises: ValueError if the values are no labels.
        """
        transform, grid = self._itk_transform(inverse=inverse)
        return MetaTensor(
            warp_labels(transform, _volume("labels", labels, None), grid, one_hot=one_hot)[None], affine=grid.affine
        )

    def _itk_transform(self, *, inverse: bool) -> tuple[Any, ImageHeader]:
        """ITK's transform, or its inverse, and the grid of its results."""
        fixed, moving = (ImageHeader.of(self.pair[key]) for key in ("fixed", "moving"))
        forward = itk_transform(self.transform, fixed.corners_mm)
        return (invert_transform(forward), moving) if inverse else (forward, fixed)

    def save(self, folder: str | Path, *, write: Sequence[str] = ()) -> None:
        """Write the files that `scripts.register` writes; see `SaveRegistrationd`."""
        save = SaveRegistrationd(weights=self.weights, recipe=self.recipe, write=write)
        save({**self.pair, "output_dir": str(folder)})


def register_pair(
    fixed: Scan,
    moving: Scan,
    *,
    fixed_affine: np.ndarray | Tensor | None = None,
    moving_affine: np.ndarray | Tensor | None = None,
    fixed_mask: Scan | None = None,
    moving_mask: Scan | None = None,
    fixed_landmarks: Points | None = None,
    moving_landmarks: Points | None = None,
    initial_transform: str | Path | np.ndarray | Tensor | None = None,
    options: Mapping[str, Any] | None = None,
) -> Registration:
    """Register `moving` to `fixed` as `configs/inference.json` does; the network is built once for many pairs.

    Args:
        fixed, moving: file (NIfTI, MHA/MHD, NRRD, folder of a DICOM series), `MetaTensor` (H, W, D) or (1, H, W, D) in
            HU, or array with its affine.
        fixed_affine, moving_affine: (4, 4), voxels to RAS mm, of arrays.
        fixed_mask, moving_mask: lung masks on the grids of their scans; found automatically if missing.
        fixed_landmarks, moving_landmarks: files, or matching points (N, 3), RAS mm; with both the report holds the TRE.
        initial_transform: linear ITK file, or (4, 4), RAS mm, fixed to moving world; replaces the automatic alignment.
        options: ids of `configs/inference.json` with other values, such as {"refine": "none"}.
    Raises: FileNotFoundError, ValueError: what is wrong with which scan, mask, landmarks or option.
    """
    pair: dict[str, Any] = {"name": _name(fixed)}
    given = {"fixed": (fixed, fixed_mask, fixed_affine), "moving": (moving, moving_mask, moving_affine)}
    for key, (scan, mask, affine) in given.items():
        pair[key] = _volume(key, scan, affine)
        if mask is not None:
            pair[f"{key}_mask"] = _volume(f"{key}_mask", mask, pair[key].affine)
            check_mask(ImageHeader.of(pair[f"{key}_mask"]), ImageHeader.of(pair[key]))
    for key, points in (("fixed", fixed_landmarks), ("moving", moving_landmarks)):
        if points is not None:
            pair[f"{key}_landmarks"] = _points_mm(points, pair[key])
    if fixed_landmarks is not None and moving_landmarks is not None:
        check_landmark_pair("fixed_landmarks", pair["fixed_landmarks"], "moving_landmarks", pair["moving_landmarks"])
    if isinstance(initial_transform, (str, Path)):
        pair["initial_affine"] = read_linear_transform(initial_transform)
    elif initial_transform is not None:
        pair["initial_affine"] = torch.as_tensor(initial_transform).double()
    parser = workflow(options or {})
    parser.get_parsed_content("dataset").data[:] = [pair]
    evaluator = parser.get_parsed_content("evaluator")
    evaluator.run()
    registered = {**evaluator.state.batch[0], **evaluator.state.output[0]}
    return Registration(registered, Path(parser.get_parsed_content("weights")), parser.get_parsed_content("recipe"))


def workflow(options: Mapping[str, Any]) -> ConfigParser:
    """`configs/inference.json` from memory to memory, the same object for equal options and weights."""
    weights = Path(options.get("weights", BUNDLE_ROOT / "models" / "model.pt"))
    time_ns = weights.stat().st_mtime_ns if weights.is_file() else 0
    return _workflow(json.dumps(options, sort_keys=True, default=str), time_ns)


@lru_cache(maxsize=1)
def _workflow(options: str, _: int) -> ConfigParser:
    parser = ConfigParser()
    parser.read_config(str(CONFIG))
    given = json.loads(options)
    unknown = set(given) - set(parser.config)
    if unknown:
        raise ValueError(f"options: no such id in configs/inference.json: {', '.join(sorted(unknown))}")
    parser.update({"bundle_root": str(BUNDLE_ROOT), **given})
    before = _without(parser.get_parsed_content("preprocessing"), LoadImaged)
    after = _without(parser.get_parsed_content("postprocessing"), SaveRegistrationd)
    parser.update({"dataset": Dataset([], before), "postprocessing": after})
    after.inferer = parser.get_parsed_content("inferer")  # the update has made a new one
    return parser


def _without(steps: TimedCompose, kind: type) -> TimedCompose:
    return TimedCompose([step for step in steps.transforms if not isinstance(step, kind)])


def _name(scan: Scan) -> str:
    return Path(scan).resolve().name.split(".")[0] if isinstance(scan, (str, Path)) else "pair"


def _volume(name: str, scan: Scan, affine: np.ndarray | Tensor | None) -> MetaTensor:
    """A scan (1, H, W, D), float32, with its affine; `name` for errors."""
    if isinstance(scan, (str, Path)):
        return read_image(scan)
    if isinstance(scan, MetaTensor):
        name, affine = scan.meta.get("filename_or_obj", name), scan.affine
    if affine is None:
        raise ValueError(f"{name}: an array says nothing about its grid; pass {name}_affine, or a MetaTensor")
    voxels = scan.as_tensor().float() if isinstance(scan, MetaTensor) else torch.as_tensor(scan).float()
    voxels = voxels[None] if voxels.ndim == 3 else voxels
    return MetaTensor(voxels, affine=torch.as_tensor(affine).double(), meta={"filename_or_obj": name})


def _points_mm(points: Points, scan: MetaTensor) -> Tensor:
    if isinstance(points, (str, Path)):
        return read_landmarks_mm(points, ImageHeader.of(scan))
    return torch.as_tensor(points).double()
