"""Initial affine alignment of two chest scans."""

from __future__ import annotations

import logging
from collections.abc import Hashable, Mapping
from typing import Any, Literal, NamedTuple, get_args

import numpy as np
import torch
import torch.nn.functional as F
from monai.config import KeysCollection
from monai.data import MetaTensor
from monai.transforms import MapTransform
from scipy import ndimage
from scipy.optimize import minimize
from torch import Tensor

from bundle.geometry import affine_columns, apply_affine, identity_vox, sample_points, sample_rows, spacing_mm
from bundle.io import read_linear_transform
from bundle.losses import LocalCrossCorrelationLoss
from bundle.processors import side_by_side
from bundle.resample import coarsen

log = logging.getLogger(__name__)

AlignmentMethod = Literal["identity", "centroid", "translation", "affine"]

STOP = {"maxiter": 60, "ftol": 1e-5, "gtol": 1e-7}
FINEST_MM = 2.0  # voxels from which those of all levels are averaged
STRIDE_VOX = 2  # of the windows of LNCC
LAST_ROW = torch.tensor([[0.0, 0.0, 0.0, 1.0]], dtype=torch.float64)
SIDES = (1, 2)  # labels of the right and the left lung
START_MM = 6.0  # voxel size at which starts are compared
MIN_RATIO = 0.5  # of a lung's volume in both scans, relative to the other lung's; a collapsed lung stays below


class Level(NamedTuple):
    """One resolution level: voxel size, rim of tissue around the lungs, LNCC or global correlation as similarity,
    and whether to optimise the linear part or the translation only."""

    voxel_mm: float
    rim_mm: float
    lncc: bool
    linear: bool


LEVELS: dict[AlignmentMethod, tuple[Level, ...]] = {
    "centroid": (),
    "translation": (Level(12.0, 18.0, lncc=False, linear=False), Level(6.0, 6.0, lncc=True, linear=False)),
    "affine": (
        Level(12.0, 18.0, lncc=False, linear=True),
        Level(6.0, 6.0, lncc=True, linear=True),
        Level(4.0, 6.0, lncc=True, linear=True),
    ),
}
DENSITY_WINDOW_HU = (-1000.0, 0.0)  # air to water; bones and contrast agent would dominate the lungs


def align_lungs(
    fixed: MetaTensor,
    moving: MetaTensor,
    fixed_mask: MetaTensor,
    moving_mask: MetaTensor,
    *,
    method: AlignmentMethod,
    start: Tensor | None = None,
) -> Tensor:
    """World affine (4, 4) float64, RAS mm, that maps fixed points to moving points.

    "centroid" aligns the lung centroids. "translation" and "affine" then optimise coarse to fine: global correlation of
    the lungs and surrounding tissue recovers large motion; LNCC then matches vessels and is robust to changes of lung
    density and to the sliding chest wall. If one scan lacks a lung, or shows it collapsed, the other lung is aligned.

    Args:
        fixed, moving: (1, H, W, D), HU, each on its own grid; the masks are on the grids of their scans. Either both
            masks hold 1 in the right lung and 2 in the left, or both hold 1 in the region to align.
        start: (4, 4), RAS mm, such as the alignment of a neighbouring phase: where to begin instead of the centroids,
            if it brings more of the fixed lungs into the moving ones.
    """
    if method == "identity":
        return torch.eye(4, dtype=torch.float64)
    fixed_mask, moving_mask = _shared_lungs(fixed_mask, moving_mask)
    centre = _centroid_mm(fixed_mask)
    linear, offset = torch.eye(3, dtype=torch.float64), _centroid_mm(moving_mask)
    if start is not None:
        centroids = torch.eye(4, dtype=torch.float64)
        centroids[:3, 3] = offset - centre
        if _covered(start.double(), fixed_mask, moving_mask) > _covered(centroids, fixed_mask, moving_mask):
            linear, offset = start[:3, :3].double(), apply_affine(start.double(), centre[None])[0]
    if LEVELS[method]:
        fixed, moving, fixed_mask = side_by_side(lambda scan: coarsen(scan, FINEST_MM), (fixed, moving, fixed_mask))
    for level in LEVELS[method]:
        linear, offset = _optimize(linear, offset, centre, fixed, moving, fixed_mask, level)
    affine = torch.eye(4, dtype=torch.float64)
    affine[:3, :3] = linear
    affine[:3, 3] = offset - linear @ centre
    return affine


def _shared_lungs(fixed_mask: MetaTensor, moving_mask: MetaTensor) -> tuple[MetaTensor, MetaTensor]:
    """Both masks, 0 or 1, without a lung that one of the scans lacks or shows collapsed."""
    volumes_mm3 = torch.tensor(
        [
            [float((mask == side).count_nonzero()) * float(spacing_mm(mask.affine.double()).prod()) for side in SIDES]
            for mask in (fixed_mask, moving_mask)
        ]
    )
    ratios = volumes_mm3.amin(dim=0) / volumes_mm3.amax(dim=0).clamp_min(1e-9)
    shared = [side for side, ratio in zip(SIDES, ratios, strict=True) if ratio > MIN_RATIO * ratios.max()]
    fixed_region, moving_region = (
        MetaTensor(
            (mask == shared[0] if len(shared) == 1 else mask > 0).as_tensor().to(torch.uint8), affine=mask.affine
        )
        for mask in (fixed_mask, moving_mask)
    )
    return fixed_region, moving_region


def _optimize(
    linear: Tensor,
    offset: Tensor,
    centre: Tensor,
    fixed: MetaTensor,
    moving: MetaTensor,
    fixed_mask: MetaTensor,
    level: Level,
) -> tuple[Tensor, Tensor]:
    """Optimise x -> linear (x - centre) + offset on one level by L-BFGS; returns the input if nothing is better.

    Parameters are in the axes of the fixed scan, so that the result rotates with its header, and in units of 1 % and
    1 mm, for good scaling.
    """
    fixed_density, moving_density = side_by_side(lambda scan: _density(coarsen(scan, level.voxel_mm)), (fixed, moving))
    target, region, grid = _crop(fixed_density, coarsen(fixed_mask, level.voxel_mm), level.rim_mm)
    to_world = fixed_density.affine.double()
    axes = to_world[:3, :3] / spacing_mm(to_world)
    to_world[:3, 3] -= centre
    world_to_moving = torch.linalg.inv(moving_density.affine.double())
    lncc_loss = LocalCrossCorrelationLoss(stride_vox=STRIDE_VOX)

    def compose(parameters: Tensor) -> tuple[Tensor, Tensor]:
        new_linear = linear + axes @ parameters[:, :3] @ axes.T / 100 if level.linear else linear
        return new_linear, offset + axes @ parameters[:, 3]

    def dissimilarity(parameters: Tensor) -> Tensor:
        new_linear, new_offset = compose(parameters)
        moved = torch.cat([torch.cat([new_linear, new_offset[:, None]], dim=1), LAST_ROW])
        points_vox = affine_columns(world_to_moving @ moved @ to_world, grid.flatten(1)).view_as(grid)
        warped = sample_rows(moving_density.as_tensor(), points_vox)[None]
        if level.lncc:
            return lncc_loss(warped, target, mask=region)
        return -torch.corrcoef(torch.stack([warped[region > 0], target[region > 0]]))[0, 1]

    def loss_and_gradient(values: np.ndarray) -> tuple[float, np.ndarray]:
        parameters = torch.from_numpy(values).view(3, 4).requires_grad_()
        with torch.enable_grad():
            loss = dissimilarity(parameters)
            (gradient,) = torch.autograd.grad(loss, parameters)
        return float(loss.detach()), gradient.flatten().numpy()

    start = np.zeros(12)
    before = loss_and_gradient(start)[0]
    # not torch.optim.LBFGS: any optimiser of torch imports its compiler first, which takes longer than the alignment
    found = minimize(loss_and_gradient, start, jac=True, method="L-BFGS-B", options=STOP)
    log.debug("affine alignment at %.0f mm: similarity %.4f (before: %.4f)", level.voxel_mm, -found.fun, -before)
    return compose(torch.from_numpy(found.x).view(3, 4)) if found.fun < before else (linear, offset)


def _crop(density: MetaTensor, mask: MetaTensor, rim_mm: float) -> tuple[Tensor, Tensor, Tensor]:
    """Density and region (1, 1, h, w, d) cropped to the lungs and a rim, and their voxel coordinates (3, h, w, d)."""
    lungs = (mask[0] >= min(0.5, float(mask.max()))).numpy()  # a small mask may cover no coarse voxel by half
    region = torch.from_numpy(ndimage.distance_transform_edt(~lungs, mask.pixdim.numpy()) <= rim_mm)
    inside = region.nonzero()
    low, high = inside.amin(dim=0), inside.amax(dim=0) + 1
    box = tuple(slice(int(start), int(stop)) for start, stop in zip(low, high, strict=True))
    cropped = region[box].float()[None, None]
    grid = identity_vox(list(cropped.shape[2:]), cropped)[0] + low.view(3, 1, 1, 1)
    return density.as_tensor()[0][box][None, None], cropped, grid


def _density(scan: MetaTensor) -> MetaTensor:
    """Map HU from air to water to 0 to 1; padding becomes air."""
    low, high = DENSITY_WINDOW_HU
    return (scan.clamp(low, high) - low) / (high - low)


def _centroid_mm(mask: MetaTensor) -> Tensor:
    """Centre of mass (3,) of a mask (1, H, W, D) in its world, RAS mm."""
    inside = (mask[0].as_tensor() > 0).numpy()  # PyTorch would sum a copy of 8 bytes a voxel
    along_depth, along_rows = np.count_nonzero(inside, axis=2), np.count_nonzero(inside, axis=0)
    counts = along_depth.sum(axis=1), along_depth.sum(axis=0), along_rows.sum(axis=0)
    centre_vox = torch.tensor([np.average(np.arange(len(count)), weights=count) for count in counts])
    return apply_affine(mask.affine.double(), centre_vox[None])[0]


def _covered(affine: Tensor, fixed_mask: MetaTensor, moving_mask: MetaTensor) -> float:
    """Share of the fixed lungs that a world affine brings into the moving lungs."""
    fixed, moving = (coarsen(mask, START_MM) for mask in (fixed_mask, moving_mask))
    points = (fixed[0].as_tensor() >= min(0.5, float(fixed.max()))).nonzero().T.double()
    to_moving = torch.linalg.inv(moving.affine.double()) @ affine @ fixed.affine.double()
    inside = F.pad(moving.as_tensor().float(), [1] * 6)  # nothing outside the scan
    places = affine_columns(to_moving, points) + 1
    return float(sample_points(inside, places.float()).mean())


class InitialAlignmentd(MapTransform):
    """Add `initial_affine` (4, 4), fixed world to moving world, RAS mm.

    Requires `fixed`, `moving` and their masks; `<key>_lungs` of `LungRegiond` replace the masks here and are dropped.
    An existing `initial_affine` (the user's own transform) is kept; a `start_affine` is the `start` of `align_lungs`.

    Args:
        method: see `align_lungs`.
    Raises: ValueError for an unknown method.
    """

    def __init__(self, keys: KeysCollection = ("fixed", "moving"), *, method: AlignmentMethod = "affine") -> None:
        super().__init__(keys)
        if method not in get_args(AlignmentMethod):
            raise ValueError(f"method: expected one of {get_args(AlignmentMethod)}, got {method!r}")
        self.method = method

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        pair = dict(data)
        fixed, moving = (pair[key] for key in self.keys)
        fixed_mask, moving_mask = (pair.pop(f"{key}_lungs", pair[f"{key}_mask"]) for key in self.keys)
        if "initial_affine" not in pair:
            start = pair.get("start_affine")
            pair["initial_affine"] = align_lungs(
                fixed, moving, fixed_mask, moving_mask, method=self.method, start=start
            )
        return pair


class ReadInitialTransformd(MapTransform):
    """Read the ITK transform file of a pair, fixed to moving, into `initial_affine` (4, 4), RAS mm.

    Pairs without one are unchanged. Raises: see `bundle.io.read_linear_transform`.
    """

    def __init__(self, keys: KeysCollection = "initial_transform") -> None:
        super().__init__(keys, allow_missing_keys=True)

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        pair = dict(data)
        for key in self.key_iterator(pair):
            pair["initial_affine"] = read_linear_transform(pair[key])
        return pair
