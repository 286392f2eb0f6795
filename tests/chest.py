"""A small analytic chest in RAS mm, rendered on any grid and under any affine without resampling."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import torch
from monai.data import MetaTensor
from torch import Tensor

from tests.grids import make_affine, voxel_centres_mm

SHAPE = (48, 44, 42)
SPACING_MM = (4.5, 4.0, 5.0)
AIR_HU, FOAM_HU, LUNG_HU, TISSUE_HU, BONE_HU = -1000.0, -955.0, -850.0, 40.0, 400.0
VESSEL_HU = 700.0  # above the parenchyma
LUNGS = {"right": ((44.0, 4.0, -2.0), (35.0, 46.0, 78.0)), "left": ((-44.0, 0.0, 4.0), (31.0, 44.0, 74.0))}
EDGE_MM = 1.5  # edge width, similar to the partial volume of a voxel
NUM_VESSELS = 70


@dataclass(frozen=True)
class Chest:
    """Content of the scan; the right lung is at positive x."""

    sides: tuple[str, ...] = ("right", "left")
    table: bool = True
    foam: bool = False
    bowel_gas: bool = False
    trachea: bool = True
    seed: int = 0

    def hu(self, points_mm: Tensor) -> Tensor:
        """HU (N,) float32 at points (N, 3), RAS mm."""
        x, y, z = points_mm.double().unbind(dim=1)
        hu = torch.full_like(x, AIR_HU)
        if self.foam:
            hu = _put(hu, FOAM_HU, torch.minimum(12.0 - (y + 64).abs(), 104.0 - x.abs()))
        radial = torch.sqrt((x / 96) ** 2 + (y / 66) ** 2)
        hu = _put(hu, TISSUE_HU, (1 - radial) * 66)
        wall = 3.0 - (radial - 0.93).abs() * 66
        hu = _put(hu, BONE_HU, torch.minimum(wall, 4.0 - ((z + y / 3 + 500) % 24 - 12).abs()))
        hu = _put(hu, BONE_HU, 11.0 - torch.sqrt(x**2 + (y + 50) ** 2))
        if self.table:
            hu = _put(hu, 150.0, torch.minimum(4.0 - (y + 78).abs(), 80.0 - x.abs()))
        for side in self.sides:
            inside_mm = self.lung_depth_mm(points_mm, side)
            inner = torch.nonzero(inside_mm > -5.0)[:, 0]
            parenchyma = torch.full_like(x, LUNG_HU)
            parenchyma[inner] += VESSEL_HU * self._vessels(points_mm[inner], side)
            hu = _put(hu, parenchyma, inside_mm)
        if self.trachea:
            tube = torch.minimum(8.0 - torch.sqrt(x**2 + (y - 2) ** 2), z - 30)
            bronchi = 5.0 - torch.sqrt((y - 2) ** 2 + (z - 32) ** 2)
            open_sides = [(x if side == "right" else -x) + 2 for side in self.sides]
            reach = torch.minimum(torch.stack(open_sides).amax(dim=0), 24 - x.abs())
            hu = _put(hu, AIR_HU, torch.maximum(tube, torch.minimum(bronchi, reach)))
        if self.bowel_gas:
            gas = _ellipsoid_depth_mm(points_mm.double(), (-30.0, 12.0, -104.0), (46.0, 38.0, 24.0))
            hu = _put(hu, AIR_HU, gas)
        return hu.float()

    def lung_depth_mm(self, points_mm: Tensor, side: str) -> Tensor:
        """Signed distance (N,) to the surface of a lung, positive inside."""
        return _ellipsoid_depth_mm(points_mm.double(), *LUNGS[side])

    def lung_mask(self, points_mm: Tensor) -> Tensor:
        """(N,) bool, inside a lung."""
        return torch.stack([self.lung_depth_mm(points_mm, side) > 0 for side in self.sides]).any(dim=0)

    def _vessels(self, points_mm: Tensor, side: str) -> Tensor:
        """Gaussian tubes between random points of a lung, (N,) in [0, 1]."""
        generator = torch.Generator().manual_seed(self.seed * 2 + (side == "left"))
        centre, radii = (torch.tensor(values, dtype=torch.float64) for values in LUNGS[side])
        ends = torch.rand(NUM_VESSELS, 2, 3, generator=generator, dtype=torch.float64) * 1.4 - 0.7
        ends = centre + ends * radii
        widths = 1.5 + 1.5 * torch.rand(NUM_VESSELS, generator=generator, dtype=torch.float64)
        start, along = ends[:, 0], ends[:, 1] - ends[:, 0]
        points = points_mm.double()
        travel = points @ along.T - (start * along).sum(dim=1)
        length2 = (along**2).sum(dim=1)
        share = (travel / length2).clamp(0, 1)
        square_mm = (points**2).sum(dim=1, keepdim=True) - 2 * points @ start.T + (start**2).sum(dim=1)
        square_mm += share * (share * length2 - 2 * travel)
        return torch.exp(-square_mm / (2 * widths**2)).amax(dim=1)


def render(
    chest: Chest,
    shape: tuple[int, int, int] = SHAPE,
    affine: Tensor | None = None,
    *,
    to_chest: Tensor | None = None,
) -> MetaTensor:
    """Render a chest to a scan (1, H, W, D), HU, on a grid (by default around its centre).

    Args:
        to_chest: (4, 4), world of the scan to world of the chest, RAS mm; default: identity.
    """
    if shape == SHAPE and affine is None and to_chest is None:
        return _usual_scan(chest).clone()
    affine = make_affine(shape, SPACING_MM) if affine is None else affine
    points_mm = _to_chest(voxel_centres_mm(shape, affine), to_chest)
    return MetaTensor(chest.hu(points_mm).reshape(1, *shape), affine=affine)


@lru_cache
def _usual_scan(chest: Chest) -> MetaTensor:
    return render(chest, affine=make_affine(SHAPE, SPACING_MM))


def lungs_of(chest: Chest, scan: MetaTensor, *, to_chest: Tensor | None = None) -> MetaTensor:
    """Ground-truth lung mask (1, H, W, D) uint8 on the grid of a rendered scan."""
    shape = (scan.shape[1], scan.shape[2], scan.shape[3])
    points_mm = _to_chest(voxel_centres_mm(shape, scan.affine), to_chest)
    return MetaTensor(chest.lung_mask(points_mm).reshape(1, *shape).to(torch.uint8), affine=scan.affine)


def dice(first: Tensor, second: Tensor) -> float:
    """Dice overlap of two masks."""
    first, second = torch.as_tensor(first) > 0, torch.as_tensor(second) > 0
    return float(2 * (first & second).sum() / (first.sum() + second.sum()))


def _to_chest(points_mm: Tensor, to_chest: Tensor | None) -> Tensor:
    return points_mm if to_chest is None else points_mm @ to_chest[:3, :3].T + to_chest[:3, 3]


def _put(hu: Tensor, value: float | Tensor, depth_mm: Tensor) -> Tensor:
    """Blend in a structure with a soft edge."""
    weight = torch.sigmoid(depth_mm / EDGE_MM)
    return hu + weight * (value - hu)


def _ellipsoid_depth_mm(
    points_mm: Tensor, centre: tuple[float, float, float], radii: tuple[float, float, float]
) -> Tensor:
    """First-order signed distance (N,) to an ellipsoid's surface, positive inside."""
    offset = points_mm - torch.tensor(centre, dtype=torch.float64)
    scaled = offset / torch.tensor(radii, dtype=torch.float64)
    norm = scaled.norm(dim=1)
    gradient = (scaled / torch.tensor(radii, dtype=torch.float64)).norm(dim=1)
    return torch.where(norm > 1e-6, (1 - norm) * norm / gradient.clamp_min(1e-9), min(radii))
