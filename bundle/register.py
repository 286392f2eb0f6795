"""Register a pair of scans from Python: `configs/inference.json`, from memory to memory."""

from __future__ import annotations

import json
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from monai.bundle import ConfigParser
from monai.data import Dataset, MetaTensor
from monai.transforms import LoadImaged
from torch import Tensor

from bundle.apply import Interpolation, outside_value, warp_labels, warp_scan
from bundle.data import PairPart, Points, Scan, as_volume, bundle_root, config_with, pair_in_memory
from bundle.geometry import WorldTransform
from bundle.io import (
    ImageHeader,
    Recipe,
    itk_transform,
    read_labels,
    read_linear_transform,
)
from bundle.refusals import reason_of
from bundle.reports import SaveRegistrationd, registration_report
from bundle.transforms import TimedCompose, inverse_transform, jacobian_on_grid, world_transform
from bundle.voxel_size import check_voxels_mm

ROOT = Path(bundle_root())
CONFIG = ROOT / "configs" / "inference.json"


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
        """The moving scan (1, H, W, D) on the fixed grid, HU, int16."""
        return self.pair["warped"]

    @cached_property
    def displacement(self) -> MetaTensor:
        """x_moving - x_fixed (3, H, W, D), RAS mm, on the fixed grid; computed on first access."""
        return _displacement(self.transform, self.pair["fixed"])

    @cached_property
    def inverse_displacement(self) -> MetaTensor:
        """x_fixed - x_moving (3, H, W, D), RAS mm, on the moving grid; computed on first access."""
        return _displacement(self.inverse_transform, self.pair["moving"])

    @cached_property
    def jacobian(self) -> MetaTensor:
        """Determinant (1, H, W, D) of the transform's Jacobian on the fixed grid: local volume change.

        Computed on first access; see `bundle.transforms.jacobian_on_grid`.
        """
        fixed = self.pair["fixed"]
        slabs = jacobian_on_grid(self.transform, fixed.shape[1:], fixed.affine)
        return MetaTensor(torch.cat([part for _, part in slabs], dim=1), affine=fixed.affine)

    @property
    def transform(self) -> WorldTransform:
        """Fixed world to moving world."""
        return world_transform(self.pair)

    @property
    def inverse_transform(self) -> WorldTransform:
        """Moving world to fixed world."""
        return inverse_transform(self.pair)

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
        fill: float | None = None,
    ) -> MetaTensor:
        """Another image of the moving scan's world on the fixed grid (1, H, W, D), float32; see `bundle.apply`.

        Args:
            scan: file, or (1, h, w, d) with its affine.
            inverse: from the fixed scan's world to the moving grid instead.
            interpolation: "linear", "bspline" or "nearest".
            fill: value outside the image; air for an image in HU and 0 for others by default.
        """
        transform, grid = self._itk_transform(inverse=inverse)
        image = as_volume("scan", scan, None)
        warped = warp_scan(transform, image, grid, interpolation, outside_value(image) if fill is None else fill)
        return MetaTensor(warped[None], affine=grid.affine)

    def warp_labels(
        self, labels: str | Path | MetaTensor, *, inverse: bool = False, one_hot: bool = False
    ) -> MetaTensor:
        """A label map of the moving scan on the fixed grid (1, H, W, D), in its own type; 0 outside.

        Arguments as in `warp_scan`.

        Args:
            one_hot: interpolate each label linearly and take the largest, which gives smoother borders.
        Raises: ValueError if the values are no labels.
        """
        transform, grid = self._itk_transform(inverse=inverse)
        volume = read_labels(labels) if isinstance(labels, (str, Path)) else labels
        return MetaTensor(warp_labels(transform, volume, grid, one_hot=one_hot)[None], affine=grid.affine)

    def _itk_transform(self, *, inverse: bool) -> tuple[Any, ImageHeader]:
        """ITK's transform, or its inverse, and the grid of its results."""
        fixed, moving = (ImageHeader.of(self.pair[key]) for key in ("fixed", "moving"))
        if inverse:
            return itk_transform(self.inverse_transform, moving.corners_mm, field_last=True), moving
        return itk_transform(self.transform, fixed.corners_mm), fixed

    def save(self, folder: str | Path, *, write: Sequence[str] = ()) -> None:
        """Write the files that `scripts.register` writes; see `SaveRegistrationd`."""
        save = SaveRegistrationd(weights=self.weights, recipe=self.recipe, write=write)
        save({**self.pair, "output_dir": str(folder)})


def _displacement(transform: WorldTransform, scan: MetaTensor) -> MetaTensor:
    shape = (scan.shape[1], scan.shape[2], scan.shape[3])
    return MetaTensor(transform.displacement_mm(shape, scan.affine), affine=scan.affine)


def register_pair(
    fixed: Scan,
    moving: Scan,
    *,
    fixed_affine: np.ndarray | Tensor | None = None,
    moving_affine: np.ndarray | Tensor | None = None,
    fixed_series: str | None = None,
    moving_series: str | None = None,
    fixed_mask: Scan | None = None,
    moving_mask: Scan | None = None,
    fixed_landmarks: Points | None = None,
    moving_landmarks: Points | None = None,
    landmark_system: str | None = None,
    initial_transform: str | Path | np.ndarray | Tensor | None = None,
    start: Tensor | None = None,
    options: Mapping[str, Any] | None = None,
) -> Registration:
    """Register `moving` to `fixed` as `configs/inference.json` does; the network is built once for many pairs.

    Args:
        fixed, moving: file (NIfTI, MHA/MHD, NRRD, DICOM folder), `MetaTensor` (H, W, D) or (1, H, W, D) in HU, or array
            with its affine.
        fixed_affine, moving_affine: (4, 4), voxels to RAS mm, of arrays.
        fixed_series, moving_series: series of a DICOM folder with several, see `bundle.formats.dicom.find_volume`.
        fixed_mask, moving_mask: lung masks, resampled to the grids of their scans; found automatically if missing.
        fixed_landmarks, moving_landmarks: files, or matching points (N, 3), RAS mm; with both the report holds the TRE.
        landmark_system: coordinates of landmark files that state none: see `bundle.io.read_landmarks`.
        initial_transform: linear ITK file, or (4, 4), RAS mm, fixed to moving world; replaces the automatic alignment.
        start: (4, 4), RAS mm, where the automatic alignment may begin, such as that of a neighbouring phase.
        options: ids of `configs/inference.json` with other values, such as {"refine": "none"}.
    Raises: FileNotFoundError, ValueError: what is wrong with which scan, mask, landmarks or option.
    """
    pair = pair_in_memory(
        fixed=PairPart(fixed, fixed_affine, fixed_series, fixed_mask, fixed_landmarks),
        moving=PairPart(moving, moving_affine, moving_series, moving_mask, moving_landmarks),
        landmark_system=landmark_system,
    )
    if isinstance(initial_transform, (str, Path)):
        pair["initial_affine"] = read_linear_transform(initial_transform)
    elif initial_transform is not None:
        pair["initial_affine"] = torch.as_tensor(initial_transform).double()
    if start is not None:
        pair["start_affine"] = start.double()
    parser = workflow(options or {})
    parser.get_parsed_content("dataset").data[:] = [pair]
    evaluator = parser.get_parsed_content("evaluator")
    try:
        evaluator.run()
    except BaseException as error:
        _workflow.cache_clear()  # Ignite would go on with the run that was interrupted
        reason = reason_of(error)
        if reason is None:
            raise
        raise ValueError(reason) from error
    registered = {**evaluator.state.batch[0], **evaluator.state.output[0]}
    return Registration(registered, Path(parser.get_parsed_content("weights")), parser.get_parsed_content("recipe"))


def workflow(options: Mapping[str, Any]) -> ConfigParser:
    """`configs/inference.json` from memory to memory, the same object for equal options and weights."""
    weights = Path(options.get("weights", ROOT / "models" / "model.pt"))
    time_ns = weights.stat().st_mtime_ns if weights.is_file() else 0
    return _workflow(json.dumps(options, sort_keys=True, default=str), time_ns)


@lru_cache(maxsize=1)
def _workflow(options: str, _: int) -> ConfigParser:
    given = json.loads(options)
    parser = config_with(CONFIG, {"weights": given.pop("weights", None), "save": []})
    unknown = set(given) - set(parser.config)
    if unknown:
        raise ValueError(f"options: no such id in configs/inference.json: {', '.join(sorted(unknown))}")
    check_voxels_mm(given)
    parser.update(given)
    steps = parser.get_parsed_content("preprocessing").transforms
    in_memory = TimedCompose([step for step in steps if not isinstance(step, LoadImaged)])
    parser.update({"dataset": Dataset([], in_memory)})
    return parser
