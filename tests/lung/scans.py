"""Phantoms with exact lung masks, and what happens to scans in practice: padding, cropping, disease, noise."""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import numpy as np
import torch
from monai.data import MetaTensor
from monai.transforms import Orientation
from scipy import ndimage
from torch import Tensor

from bundle.lung import find_lungs
from bundle.synthetic.phantom.case import PhantomCase, make_phantom
from tests.chest import dice
from tests.grids import rotation

RIGHT, LEFT = 1, 2
SPACING_MM = (4.0, 4.0, 5.0)
FLUID_HU, GAS_HU, BULLA_HU = 20.0, -990.0, -995.0


class Case(NamedTuple):
    """A scan (1, H, W, D), HU, in RAS axis order, and its exact lungs: 1 right, 2 left."""

    scan: MetaTensor
    lungs: MetaTensor

    def change(self, hu: Tensor, lungs: Tensor | None = None) -> Case:
        """The same grid with other values."""
        labels = self.lungs.as_tensor() if lungs is None else lungs
        affine = self.scan.affine
        return Case(MetaTensor(hu.float(), affine=affine), MetaTensor(labels, affine=affine))

    def crop(self, axis: int, low: int, high: int) -> Case:
        """Rows `low` to `high` along an axis."""
        affine = self.scan.affine.clone()
        affine[:3, 3] += affine[:3, axis] * low
        hu, labels = (volume.as_tensor().narrow(axis + 1, low, high - low).clone() for volume in self)
        return Case(MetaTensor(hu, affine=affine), MetaTensor(labels, affine=affine))

    def pad(self, axis: int, low: int, high: int, value_hu: float) -> Case:
        """Rows of one value at both ends of an axis."""
        affine = self.scan.affine.clone()
        affine[:3, 3] -= affine[:3, axis] * low
        margin = [0] * 6
        margin[4 - 2 * axis : 6 - 2 * axis] = low, high
        hu = torch.nn.functional.pad(self.scan.as_tensor(), margin, value=value_hu)
        labels = torch.nn.functional.pad(self.lungs.as_tensor(), margin)
        return Case(MetaTensor(hu, affine=affine), MetaTensor(labels, affine=affine))

    def ends(self, axis: int, *sides: int) -> tuple[int, int]:
        """First and last row of the lungs along an axis."""
        chosen = torch.isin(self.lungs[0].as_tensor(), torch.tensor(sides or (RIGHT, LEFT), dtype=torch.uint8))
        others = tuple(other for other in range(3) if other != axis)
        rows = np.flatnonzero(chosen.numpy().any(axis=others))
        return int(rows[0]), int(rows[-1])


def phantom(seed: int, *, exhale: bool = False, spacing_mm: tuple[float, float, float] = SPACING_MM) -> Case:
    """A phantom with its exact mask, split into both lungs, which do not touch."""
    case = _phantom(seed, exhale, spacing_mm)
    return Case(case.scan.clone(), case.lungs.clone())


@lru_cache
def _phantom(seed: int, exhale: bool, spacing_mm: tuple[float, float, float]) -> Case:
    made = _made(seed, spacing_mm)
    key = "moving" if exhale else "fixed"
    affine = torch.as_tensor(getattr(made, f"{key}_affine"))
    orient = Orientation(axcodes="RAS", labels=None)
    hu, mask = (
        orient(MetaTensor(torch.as_tensor(getattr(made, name).astype(np.float32))[None], affine=affine))
        for name in (key, f"{key}_mask")
    )
    parts, _ = ndimage.label(mask[0].numpy() > 0)
    sizes = np.bincount(parts.ravel())
    sizes[0] = 0
    largest = np.argsort(sizes)[-2:]
    across = [float(np.nonzero(parts == part)[0].mean()) for part in largest]
    labels = np.zeros(parts.shape, np.uint8)
    for part in range(1, len(sizes)):
        position = np.nonzero(parts == part)[0].mean()
        labels[parts == part] = RIGHT if position > np.mean(across) else LEFT
    return Case(hu, MetaTensor(torch.from_numpy(labels)[None], affine=hu.affine))


@lru_cache(maxsize=1)
def _made(seed: int, spacing_mm: tuple[float, float, float]) -> PhantomCase:
    return make_phantom(seed, spacing_mm=spacing_mm)


def distances_mm(case: Case, centre_vox: np.ndarray) -> np.ndarray:
    """Distance (H, W, D) of every voxel from a point."""
    axes = np.ogrid[tuple(slice(0, size) for size in case.scan.shape[1:])]
    steps = case.scan.pixdim.numpy()
    return np.sqrt(sum(((axis - c) * step) ** 2 for axis, c, step in zip(axes, centre_vox, steps, strict=True)))


def noise_hu(case: Case, sd_hu: float) -> Tensor:
    """White noise (1, H, W, D)."""
    return sd_hu * torch.randn(case.scan.shape, generator=torch.Generator().manual_seed(0))


def tilted(case: Case) -> Case:
    """The same voxels under an oblique header far from the origin."""
    turn = rotation(12, -10, 20)
    turn[:3, 3] = torch.tensor([40.0, -90.0, -1300.0])
    return Case(*(MetaTensor(volume.as_tensor(), affine=turn @ volume.affine.double()) for volume in case))


def cut(case: Case, axis: int, end: int, share: float) -> Case:
    """Without a share of the lungs' extent at the low (0) or high (1) end of an axis."""
    low, high = case.ends(axis)
    removed = round(share * (high - low))
    return case.crop(axis, *((low + removed, case.scan.shape[axis + 1]) if end == 0 else (0, high - removed)))


def white_lung(case: Case, side: int, remnant_share: float = 0.0) -> Case:
    """A lung full of fluid, but for a dense remnant at the hilum."""
    lung, other = ((case.lungs[0] == label).numpy() for label in (side, 3 - side))
    centre = 0.7 * np.argwhere(lung).mean(axis=0) + 0.3 * np.argwhere(other).mean(axis=0)
    distance = np.where(lung, distances_mm(case, centre), np.inf)
    remnant = lung & (distance <= np.sort(distance[lung])[int(remnant_share * lung.sum())]) & (remnant_share > 0)
    hu, labels = case.scan.as_tensor().clone(), case.lungs.as_tensor().clone()
    gone = torch.from_numpy(lung & ~remnant)[None]
    hu[gone], labels[gone] = (FLUID_HU + noise_hu(case, 25))[gone], 0
    kept = torch.from_numpy(remnant)[None]
    hu[kept] = hu[kept].clamp_min(-550.0)
    return case.change(hu, labels)


def effusion(case: Case, side: int, share: float = 0.35) -> Case:
    """Fluid in the lowest and rearmost part of a pleural space."""
    lung = (case.lungs[0] == side).numpy()
    _, y, z = np.ogrid[tuple(slice(0, size) for size in lung.shape)]
    level = np.broadcast_to(z * SPACING_MM[2] * 0.8 + y * SPACING_MM[1] * 0.6, lung.shape)
    fluid = torch.from_numpy(lung & (level < np.quantile(level[lung], share)))[None]
    hu, labels = case.scan.as_tensor().clone(), case.lungs.as_tensor().clone()
    hu[fluid], labels[fluid] = (FLUID_HU + noise_hu(case, 25))[fluid], 0
    return case.change(hu, labels)


def bullae(case: Case, count: int = 12) -> Case:
    """Spheres of air with thin walls in the lungs."""
    rng = np.random.default_rng(0)
    lungs = (case.lungs[0] > 0).numpy()
    hu = case.scan[0].numpy().copy()
    for centre in rng.permutation(np.argwhere(lungs))[:count]:
        distance, radius_mm = distances_mm(case, centre), rng.uniform(12, 38)
        hu[lungs & (distance < radius_mm)] = BULLA_HU
        hu[lungs & (np.abs(distance - radius_mm) < 0.8)] = -300.0
    return case.change(torch.from_numpy(hu)[None] + noise_hu(case, 15))


def emphysema(case: Case) -> Case:
    """Parenchyma of about -955 HU."""
    hu = case.scan.as_tensor()
    return case.change(torch.where((case.lungs > 0).as_tensor() & (hu < -700), hu - 85, hu).clamp_min(-1024))


def bowel_gas(case: Case) -> Case:
    """Large gas-filled bowel under both domes of the diaphragm."""
    hu = case.scan[0].numpy().copy()
    lungs = (case.lungs[0] > 0).numpy()
    near = ndimage.binary_dilation(lungs)
    x, y, z = np.ogrid[tuple(slice(0, size) for size in lungs.shape)]
    for side in (RIGHT, LEFT):
        cx, cy, _ = np.argwhere(case.lungs[0].numpy() == side).mean(axis=0)
        low, _ = case.ends(2, side)
        steps = SPACING_MM
        ball = ((x - cx) * steps[0] / 40) ** 2 + ((y - cy) * steps[1] / 35) ** 2 + ((z - low) * steps[2] / 30) ** 2
        hu[(ball < 1) & ~near] = GAS_HU
    return case.change(torch.from_numpy(hu)[None] + noise_hu(case, 15))


def circle(case: Case, share: float, value_hu: float) -> Case:
    """A circular field of view of `share` of the scan's width."""
    x, y = (torch.arange(size) - (size - 1) / 2 for size in case.scan.shape[1:3])
    steps = case.scan.pixdim.tolist()
    radius_mm = share * max(len(x) * steps[0], len(y) * steps[1]) / 2
    outside = (((x[:, None] * steps[0]) ** 2 + (y * steps[1]) ** 2) > radius_mm**2)[None, :, :, None]
    return case.change(
        torch.where(outside, value_hu, case.scan.as_tensor()),
        torch.where(outside, 0, case.lungs.as_tensor()).to(torch.uint8),
    )


def cone_beam(case: Case) -> Case:
    """Noise of 130 HU, cupping, air that is too dense, and a circular field of view."""
    hu = case.scan.as_tensor()
    x, y = (torch.linspace(-1, 1, size) for size in hu.shape[1:3])
    cupping = -60 * (1 - x[:, None] ** 2 - y**2)[None, :, :, None]
    air = torch.where(hu < -400, 40.0, 0.0)
    return circle(case.change((hu + noise_hu(case, 130) + cupping + air).clamp_min(-1024)), 0.95, -1024.0)


def thick_slices(case: Case, count: int) -> Case:
    """The mean of `count` slices."""
    depth = case.scan.shape[3] // count * count
    affine = case.scan.affine.clone()
    affine[:3, 3] += affine[:3, 2] * (count - 1) / 2
    affine[:3, 2] *= count
    hu = case.scan.as_tensor()[..., :depth].unflatten(3, (-1, count)).mean(dim=4)
    shares = [
        (case.lungs.as_tensor()[..., :depth] == side).unflatten(3, (-1, count)).float().mean(4) for side in (1, 2)
    ]
    labels = RIGHT * (shares[0] >= 0.5) + LEFT * (shares[1] >= 0.5)
    return Case(MetaTensor(hu, affine=affine), MetaTensor(labels.to(torch.uint8), affine=affine))


def scaled(case: Case, factor: float) -> Case:
    """A chest of another size."""
    affine = case.scan.affine.clone()
    affine[:3] *= factor
    return Case(MetaTensor(case.scan.as_tensor(), affine=affine), MetaTensor(case.lungs.as_tensor(), affine=affine))


def burnt_in(case: Case, value_hu: float, margin_vox: int) -> Case:
    """Everything but the lungs and a margin is overwritten."""
    lungs = (case.lungs[0] > 0).numpy()
    kept = ndimage.binary_dilation(lungs, iterations=margin_vox) if margin_vox else lungs
    return case.change(torch.where(torch.from_numpy(kept)[None], case.scan.as_tensor(), value_hu))


def found(case: Case) -> Tensor:
    """The lungs that are found, on the grid of the scan."""
    labels = find_lungs(case.scan)
    assert labels is not None
    assert labels.dtype == torch.uint8
    assert labels.shape == case.scan.shape
    torch.testing.assert_close(labels.affine, case.scan.affine)
    return labels.as_tensor()


def overlaps(case: Case) -> dict[str, float]:
    """Dice of both lungs together, and of each lung that is in the scan."""
    labels, truth = found(case), case.lungs.as_tensor()
    result = {"lungs": dice(labels, truth)}
    for name, side in (("right", RIGHT), ("left", LEFT)):
        if (truth == side).any() or (labels == side).any():
            result[name] = dice(labels == side, truth == side)
    return result
