"""Measure how plausible a registered pair is."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from monai.data import MetaTensor
from monai.metrics import compute_dice
from torch import Tensor

from bundle.geometry import affine_columns, apply_affine, identity_vox, spacing_mm
from bundle.io import ImageHeader
from bundle.lung import volume_ml
from bundle.quality.vessel_residual import VesselResidual, vessel_residual
from bundle.resample import coarsen
from bundle.transforms import inverse_transform, world_transform

NAN = float("nan")
VESSEL_VOXEL_MM = 2.0  # of the grid on which vessels are matched; the match is finer than a voxel
DENSITY_HU = (-1000.0, 200.0)
OVERLAP_STEP_VOX = 2
MAX_POINTS = 2000  # of the lungs, where the transform is examined
Pair = Mapping[Hashable, Any]


@dataclass(frozen=True)
class Evidence:
    """Measurements of one registered pair; NaN marks missing values.

    Args:
        lungs_missing: number of scans (0 to 2) without lungs.
        volume_ratio: lung volume of the moving scan relative to the fixed scan.
        mass_ratio: mass of the moving lungs, from their density, relative to the fixed lungs; breathing keeps it.
        lung_overlap: Dice of the fixed lungs and the warped moving lungs.
        lungs_covered: share of the fixed lungs that the transform maps into the moving scan.
        lncc: mean squared LNCC in the fixed lungs after registration.
        lncc_gain: its increase since the initial alignment.
        vessels_matched: share of the vessels with a counterpart near their registered position.
        vessel_residual_mm: 75th percentile of the distance to the counterpart.
        inverse_consistency_mm: 95th percentile of |T^-1(T(x)) - x| in the lungs.
        folding_percent: of the whole transform in the lungs.
        scale_change: largest factor by which the initial alignment stretches or shrinks an axis.
        rotation_deg: of the initial alignment.
        displacement_mm: 99th percentile, in the lungs, of the displacement that remains after the initial alignment.
    """

    lungs_missing: float = NAN
    volume_ratio: float = NAN
    mass_ratio: float = NAN
    lung_overlap: float = NAN
    lungs_covered: float = NAN
    lncc: float = NAN
    lncc_gain: float = NAN
    vessels_matched: float = NAN
    vessel_residual_mm: float = NAN
    inverse_consistency_mm: float = NAN
    folding_percent: float = NAN
    scale_change: float = NAN
    rotation_deg: float = NAN
    displacement_mm: float = NAN


class Residuals(NamedTuple):
    """Errors of one registered pair that need no landmarks, before they are summarised.

    vessels: best local shifts of the vessels from their registered position.
    inverse_mm: (N,), |T^-1(T(x)) - x| at N points spread over the lungs, those that the transform maps into the moving
        scan.
    """

    vessels: VesselResidual
    inverse_mm: Tensor


def gather_evidence(pair: Pair) -> Evidence:
    """Evidence of a pair (`bundle.data.Pair`) after `ScoreRegistrationd`."""
    return examine(pair)[0]


def examine(pair: Pair) -> tuple[Evidence, Residuals]:
    """`gather_evidence` with the residuals that it summarises."""
    fixed_mm = _lung_points_mm(pair["fixed_mask"])
    moved_mm = world_transform(pair).transform_points_mm(fixed_mm)
    aligned_mm = apply_affine(pair["initial_affine"].double(), fixed_mm)
    in_moving = ImageHeader.of(pair["moving"]).contains(moved_mm)
    vessels = _vessels(pair)
    inverse_mm = _inverse_errors_mm(pair, fixed_mm[in_moving], moved_mm[in_moving])
    scale_change, rotation_deg = _linear_part(pair["initial_affine"])
    evidence = Evidence(
        lungs_missing=2.0 - float(pair["fixed_lungs_found"]) - float(pair["moving_lungs_found"]),
        volume_ratio=volume_ml(pair["moving_mask"]) / volume_ml(pair["fixed_mask"]),
        mass_ratio=_mass_g(pair["moving"], pair["moving_mask"]) / max(_mass_g(pair["fixed"], pair["fixed_mask"]), 1e-6),
        lung_overlap=_overlap(pair),
        lungs_covered=float(in_moving.double().mean()),
        lncc=float(pair["lncc_registered"]),
        lncc_gain=float(pair["lncc_registered"]) - float(pair["lncc_aligned"]),
        vessels_matched=vessels.matched,
        vessel_residual_mm=vessels.quantile_mm(0.75),
        inverse_consistency_mm=float(inverse_mm.quantile(0.95)) if len(inverse_mm) else NAN,
        folding_percent=float(pair["folding_percent"]),
        scale_change=scale_change,
        rotation_deg=rotation_deg,
        displacement_mm=float((moved_mm - aligned_mm).norm(dim=1).quantile(0.99)),
    )
    return evidence, Residuals(vessels, inverse_mm)


def _lung_points_mm(mask: MetaTensor) -> Tensor:
    """Points (N, 3), RAS mm, spread over the lungs."""
    inside = mask.as_tensor()[0].flatten().nonzero()[:, 0]
    some = inside[:: max(1, len(inside) // MAX_POINTS)]
    return apply_affine(mask.affine.double(), torch.stack(torch.unravel_index(some, mask.shape[1:]), dim=1).double())


def _vessels(pair: Pair) -> VesselResidual:
    """Match the vessels of the registered pair on its grid, which is the same for the usual voxel sizes of scans."""
    volumes = (torch.as_tensor(pair["image"])[:1], pair["warped_net"], pair["mask_net"])
    fixed, warped, mask = (
        coarsen(MetaTensor(torch.as_tensor(volume).float().cpu(), affine=pair["grid_to_fixed"]), VESSEL_VOXEL_MM)
        for volume in volumes
    )
    x, y, z = spacing_mm(fixed.affine.double()).tolist()
    return vessel_residual(fixed[0].as_tensor(), warped[0].as_tensor(), mask[0].as_tensor(), (x, y, z))


def _overlap(pair: Pair) -> float:
    """Dice of the fixed lungs and the warped moving lungs at every `OVERLAP_STEP_VOX`-th voxel of the network grid."""
    every = slice(None, None, OVERLAP_STEP_VOX)
    fixed = torch.as_tensor(pair["mask_net"]).cpu()[:, every, every, every] > 0.5
    points = identity_vox(list(fixed.shape[1:]), fixed)[0] * OVERLAP_STEP_VOX
    points += torch.as_tensor(pair["pred"]).float().cpu()[:, every, every, every]
    lungs = pair["moving_mask"]
    to_moving = torch.linalg.inv(lungs.affine.double()) @ pair["grid_to_moving"].cpu()
    nearest = affine_columns(to_moving, points.flatten(1)).round_().long()
    inside = ((nearest >= 0) & (nearest < torch.tensor(lungs.shape[1:])[:, None])).all(dim=0)
    warped = torch.zeros(fixed.numel(), dtype=torch.bool)
    warped[inside] = lungs.as_tensor()[0][nearest[:, inside].unbind()] > 0
    return float(compute_dice(warped.view_as(fixed)[None], fixed[None]))


def _inverse_errors_mm(pair: Pair, fixed_mm: Tensor, moved_mm: Tensor) -> Tensor:
    """Distance (N,) to which the inverse field brings moved points (N, 3) back."""
    if not len(fixed_mm):
        return fixed_mm[:, 0]
    return (inverse_transform(pair).transform_points_mm(moved_mm) - fixed_mm).norm(dim=1)


def _linear_part(affine: Tensor) -> tuple[float, float]:
    """Largest change of length, as a factor from 1, and rotation, degrees, of an affine (4, 4): polar decomposition."""
    left, scales, right = torch.linalg.svd(affine[:3, :3].double())
    cosine = ((torch.trace(left @ right) - 1) / 2).clamp(-1, 1)
    return float(torch.maximum(scales.max(), 1 / scales.min())), float(torch.rad2deg(torch.acos(cosine)))


def _mass_g(scan: MetaTensor, mask: MetaTensor) -> float:
    """Mass of the lungs: HU -1000 to 0 are densities of 0 to 1 g/ml."""
    inside = scan.numpy()[mask.numpy() > 0]  # PyTorch would count the mask in 16 bytes a voxel
    return float(inside.clip(*DENSITY_HU).mean(dtype=np.float64) - DENSITY_HU[0]) / 1000 * volume_ml(mask)
