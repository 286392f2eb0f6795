"""Bring two scans of one chest roughly over each other before the network sees them."""

from __future__ import annotations

import logging
from collections.abc import Hashable, Mapping
from typing import Any, Literal, NamedTuple, get_args

import torch
from monai.config import KeysCollection
from monai.data import MetaTensor
from monai.transforms import MapTransform
from scipy import ndimage
from torch import Tensor

from bundle.geometry import apply_affine, identity_vox, sample_rows, spacing_mm
from bundle.io import read_linear_transform
from bundle.losses import LocalCrossCorrelationLoss
from bundle.resample import coarsen

log = logging.getLogger(__name__)

AlignmentMethod = Literal["identity", "centroid", "translation", "affine"]

MAX_ITERATIONS = 60


class Level(NamedTuple):
    """One step from coarse to fine: voxel size, tissue around the lungs that counts, global or local correlation, and
    whether the linear part is free or only the shift."""

    voxel_mm: float
    rim_mm: float
    local: bool
    linear: bool


LEVELS: dict[AlignmentMethod, tuple[Level, ...]] = {
    "centroid": (),
    "translation": (Level(12.0, 18.0, local=False, linear=False), Level(6.0, 6.0, local=True, linear=False)),
    "affine": (
        Level(12.0, 18.0, local=False, linear=True),
        Level(6.0, 6.0, local=True, linear=True),
        Level(4.0, 6.0, local=True, linear=True),
    ),
}
DENSITY_WINDOW_HU = (-1000.0, 0.0)  # air to water; bones and contrast agent would outweigh the lungs


def align_lungs(
    fixed: MetaTensor, moving: MetaTensor, fixed_mask: MetaTensor, moving_mask: MetaTensor, *, method: AlignmentMethod
) -> Tensor:
    """World affine (4, 4) float64, RAS mm, that maps fixed points to moving points.

    "centroid" puts the lung centroids over each other. "translation" and "affine" go on, coarse to fine: correlation of
    the lungs and the tissue around them finds the large motion, local correlation then matches vessels, which the
    density of the lungs and the chest wall, past which they slide, do not distract.

    Args:
        fixed, moving: (1, H, W, D), HU, each on its own grid; the masks lie on the grids of their scans.
    """
    if method == "identity":
        return torch.eye(4, dtype=torch.float64)
    centre = _centroid_mm(fixed_mask)
    linear, offset = torch.eye(3, dtype=torch.float64), _centroid_mm(moving_mask)
    for level in LEVELS[method]:
        linear, offset = _refine(linear, offset, centre, fixed, moving, fixed_mask, level)
    affine = torch.eye(4, dtype=torch.float64)
    affine[:3, :3] = linear
    affine[:3, 3] = offset - linear @ centre
    return affine


def _refine(
    linear: Tensor,
    offset: Tensor,
    centre: Tensor,
    fixed: MetaTensor,
    moving: MetaTensor,
    fixed_mask: MetaTensor,
    level: Level,
) -> tuple[Tensor, Tensor]:
    """Improve x -> linear (x - centre) + offset on one resolution level by L-BFGS; never returns anything worse.

    The parameters live in the axes of the fixed scan, so that a turned header turns the result with it, and in units of
    1 % and 1 mm, so that L-BFGS meets a well-scaled problem.
    """
    fixed_density, source = _density(coarsen(fixed, level.voxel_mm)), _density(coarsen(moving, level.voxel_mm))
    target, region, grid = _crop(fixed_density, coarsen(fixed_mask, level.voxel_mm), level.rim_mm)
    points = apply_affine(fixed_density.affine.double(), grid) - centre
    axes = fixed_density.affine[:3, :3].double() / spacing_mm(fixed_density.affine.double())
    to_source = torch.linalg.inv(source.affine.double())
    parameters = torch.zeros(3, 4, dtype=torch.float64, requires_grad=True)

    def compose() -> tuple[Tensor, Tensor]:
        turned = linear + axes @ parameters[:, :3] @ axes.T / 100 if level.linear else linear
        return turned, offset + axes @ parameters[:, 3]

    def dissimilarity() -> Tensor:
        turned, shifted = compose()
        mapped = apply_affine(to_source, points @ turned.T + shifted)
        sampled = sample_rows(source.as_tensor(), mapped.T.float().view(3, *target.shape[2:]))[None]
        if level.local:
            return local_loss(sampled, target, mask=region)
        return -torch.corrcoef(torch.stack([sampled[region > 0], target[region > 0]]))[0, 1]

    local_loss = LocalCrossCorrelationLoss()
    optimizer = torch.optim.LBFGS(
        [parameters], max_iter=MAX_ITERATIONS, tolerance_change=1e-5, line_search_fn="strong_wolfe"
    )

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = dissimilarity()
        loss.backward()
        return loss

    with torch.enable_grad():
        before = float(optimizer.step(closure).detach())
    with torch.no_grad():
        after = float(dissimilarity())
        log.info("affine alignment at %.0f mm: correlation %.4f, before %.4f", level.voxel_mm, -after, -before)
        return compose() if after < before else (linear, offset)


def _crop(density: MetaTensor, mask: MetaTensor, rim_mm: float) -> tuple[Tensor, Tensor, Tensor]:
    """Density and region (1, 1, h, w, d) cut to the lungs and a rim, and the coordinates (n, 3) of these voxels."""
    lungs = (mask[0] >= min(0.5, float(mask.max()))).numpy()  # a small mask fills no coarse voxel by half
    region = torch.from_numpy(ndimage.distance_transform_edt(~lungs, mask.pixdim.numpy()) <= rim_mm)
    inside = region.nonzero()
    low, high = inside.amin(dim=0), inside.amax(dim=0) + 1
    box = tuple(slice(int(start), int(stop)) for start, stop in zip(low, high, strict=True))
    cut = region[box].float()[None, None]
    grid = identity_vox(list(cut.shape[2:]), cut)[0].flatten(1).T.double() + low
    return density.as_tensor()[0][box][None, None], cut, grid


def _density(scan: MetaTensor) -> MetaTensor:
    """HU between air and water as 0 to 1; padding counts as air."""
    low, high = DENSITY_WINDOW_HU
    return (scan.clamp(low, high) - low) / (high - low)


def _centroid_mm(mask: MetaTensor) -> Tensor:
    """Centre of mass (3,) of a mask (1, H, W, D) in its world, RAS mm."""
    return apply_affine(mask.affine.double(), mask[0].as_tensor().nonzero().double().mean(dim=0, keepdim=True))[0]


class InitialAlignmentd(MapTransform):
    """Add `initial_affine` (4, 4), fixed world to moving world, RAS mm.

    Needs `fixed`, `moving` and their masks. A pair that brings `initial_affine` (the user's own transform) keeps it.

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
        if "initial_affine" not in pair:
            fixed, moving = (pair[key] for key in self.keys)
            fixed_mask, moving_mask = (pair[f"{key}_mask"] for key in self.keys)
            pair["initial_affine"] = align_lungs(fixed, moving, fixed_mask, moving_mask, method=self.method)
        return pair


class ReadInitialTransformd(MapTransform):
    """Read the ITK transform file of a pair, fixed to moving, into `initial_affine` (4, 4), RAS mm.

    Pairs without one pass. Raises: see `bundle.io.read_linear_transform`.
    """

    def __init__(self, keys: KeysCollection = "initial_transform") -> None:
        super().__init__(keys, allow_missing_keys=True)

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        pair = dict(data)
        for key in self.key_iterator(pair):
            pair["initial_affine"] = read_linear_transform(pair[key])
        return pair
