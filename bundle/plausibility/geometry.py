"""Signs in words that the header of a scan does not fit its voxels: lost, turned or scaled geometry.

`view_lungs` prepares a scan; each other function returns the signs it finds, none for a plausible scan. A sign is no
proof: it belongs in warnings and in a verdict.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from monai.data import MetaTensor
from scipy import ndimage
from torch import Tensor

from bundle.geometry import spacing_mm
from bundle.resample import coarsen

WORK_SIDE = 64  # voxels along the largest extent of the lungs: about 4 mm for adults, whatever the header says
BONE_HU = 200.0
STRIP = 0.1  # of the lungs' depth, at either side: the spine lies in one of them, the breastbone in the other
REACH_MM = 15.0  # beyond the lungs
MIDDLE = (0.3, 0.7)  # of the lungs' width
MAX_CENTRE = 0.5  # of the lungs' depth from behind: 0.35 to 0.48, the heart lies in front
MIN_ARCHING = -0.1  # from foot to head 0.2 to 0.9; -0.05 where the upper end is cut
MAX_ARCHING_GAP = 0.1  # from front to back over foot to head: -0.9 to 0 where the ends are not cut
MIN_LUNG_SHARE = 0.25  # of both: a smaller part is a lobe, or the other lung cut by the field of view
MIN_EXTENT_MM = 40.0  # of lungs, in the largest direction; newborns have 50
MAX_EXTENT_MM = 450.0  # of lungs, in any direction
MAX_VOLUME_L = 12.0
MAX_REPEATED = 0.05  # of the slices
SPARSE = 4  # every fourth voxel of a slice tells it from its neighbour
MAX_SCAN_MM = 3000.0  # in any direction
WRONG_UNIT = 2.0  # times `MAX_EXTENT_MM`: no patient, but lengths in another unit
MAX_FLATNESS = 2.5  # width over height of lungs that are not cut: 0.9 to 1.3
MAX_PAIR_RATIO = 1.6  # between the extents of both scans: breathing changes the height by up to a third
AXES = ("width (left-right)", "depth (front-back)", "height (head-foot)")


class LungView(NamedTuple):
    """Scan, HU, and lungs (h, w, d) in coarse voxels and RAS order, their voxel size (3), mm, and the lungs' box."""

    hu: np.ndarray
    lungs: np.ndarray
    voxel_mm: np.ndarray
    low: np.ndarray
    high: np.ndarray

    def part(self, axis: int, low: float, high: float) -> slice:
        """Slice of an axis between two shares of the lungs' box."""
        extent = self.high[axis] - self.low[axis]
        first, last = self.low[axis] + low * extent, self.low[axis] + high * extent
        return slice(max(0, round(float(first))), max(0, round(float(last))))

    def is_cut(self, axis: int) -> bool:
        """Whether the lungs reach an end of the scan."""
        return bool(self.low[axis] == 0 or self.high[axis] == self.lungs.shape[axis])

    def volume_ml(self, mask: np.ndarray) -> float:
        return float(mask.sum() * self.voxel_mm.prod() / 1000)


def view_lungs(scan: MetaTensor, mask: MetaTensor) -> LungView | None:
    """A scan and its lungs (1, H, W, D) in voxels of about a 64th of the lungs; None for an empty mask."""
    given = mask.as_tensor() > 0
    planes = given[0].any(dim=2), given[0].any(dim=0)
    extents = [int(part.sum()) for part in (planes[0].any(dim=1), planes[0].any(dim=0), planes[1].any(dim=0))]
    if not extents[0]:
        return None
    work_mm = float((spacing_mm(mask.affine.double()) * torch.tensor(extents)).max()) / WORK_SIDE
    lungs = coarsen(MetaTensor(given, affine=mask.affine), work_mm)
    inside = lungs[0].numpy() >= 0.5
    if not inside.any():
        return None
    index = np.argwhere(inside)
    voxel_mm = spacing_mm(lungs.affine.double()).numpy()
    return LungView(coarsen(scan, work_mm)[0].numpy(), inside, voxel_mm, index.min(axis=0), index.max(axis=0) + 1)


def lost_geometry(affine: Tensor) -> list[str]:
    """Signs that a scan was written from an array without its geometry; `affine` (4, 4), voxels to RAS mm."""
    affine = affine.double()
    is_unit = torch.allclose(spacing_mm(affine), torch.ones(3, dtype=torch.float64), atol=1e-6)
    if not is_unit or bool(affine[:3, 3].abs().max() > 0) or not torch.equal(affine[:3, :3].round(), affine[:3, :3]):
        return []
    return [
        "voxels of 1 x 1 x 1 mm, the first one at the origin, axes along those of the world, as if written from an "
        "array without its geometry"
    ]


def repeated_slices(scan: MetaTensor) -> list[str]:
    """Signs that slices of a scan (1, H, W, D) were repeated in place of others; slices of one value do not count."""
    voxels = scan.as_tensor()[0, ::SPARSE, ::SPARSE].flatten(0, 1)
    filled = voxels.amin(dim=0) < voxels.amax(dim=0)
    repeated = int(((voxels[:, 1:] == voxels[:, :-1]).all(dim=0) & filled[1:]).sum())
    if repeated <= MAX_REPEATED * int(filled.sum()):
        return []
    return [f"{repeated} of {int(filled.sum())} slices repeat the one before"]


def check_size(name: str, scan: MetaTensor, coarse: LungView | None) -> None:
    """Check that lengths can be mm. Raises: ValueError for a scan (1, H, W, D) or for lungs that no patient has."""
    scan_mm = spacing_mm(scan.affine.double()) * torch.tensor(scan.shape[1:])
    lungs_mm = np.zeros(3) if coarse is None else (coarse.high - coarse.low) * coarse.voxel_mm
    for what, extents, most in (
        ("a scan", scan_mm.tolist(), MAX_SCAN_MM),
        ("lungs", lungs_mm.tolist(), WRONG_UNIT * MAX_EXTENT_MM),
    ):
        if max(extents) > most:
            sizes = " x ".join(f"{extent:.0f}" for extent in extents)
            raise ValueError(f"{name}: found {what} of {sizes} mm, expected at most {most:.0f} mm; is its unit mm?")


def implausible_lungs(coarse: LungView) -> list[str]:
    """Signs in the size and the place of the lungs alone."""
    extents = (coarse.high - coarse.low) * coarse.voxel_mm
    sizes = " x ".join(f"{extent:.0f}" for extent in extents)
    signs = []
    if extents.max() > MAX_EXTENT_MM or coarse.volume_ml(coarse.lungs) > 1000 * MAX_VOLUME_L:
        signs.append(f"lungs of {sizes} mm, larger than any")
    if extents.max() < MIN_EXTENT_MM:
        signs.append(f"lungs of {sizes} mm, those of a small animal")
    if not coarse.is_cut(2) and extents[0] > MAX_FLATNESS * extents[2]:
        signs.append(f"lungs of {sizes} mm (width x depth x height), flat as none are")
    labels, count = ndimage.label(
        ndimage.binary_erosion(coarse.lungs, iterations=2)
    )  # parts that touch in front of the heart
    sizes_vox = np.bincount(labels.ravel(), minlength=count + 1)[1:]
    largest = np.argsort(-sizes_vox)[:2]
    if count >= 2 and sizes_vox[largest[1]] >= MIN_LUNG_SHARE * sizes_vox[largest].sum():
        first, second = ndimage.center_of_mass(labels > 0, labels, largest + 1)
        axis = int((np.abs(np.subtract(first, second)) * coarse.voxel_mm).argmax())
        if axis != 0:
            signs.append(f"the two lungs lie {('', 'behind', 'above')[axis]} each other, not side by side")
    return signs


def turned_scan(coarse: LungView) -> list[str]:
    """Signs that a scan lies otherwise than its header says: upside down, on its face, or with exchanged axes."""
    signs = []
    along_depth, along_height = (_arching(coarse, axis) for axis in (1, 2))
    if along_height < MIN_ARCHING:
        signs.append("the lungs are domed at their lower end and hollow at the upper one, as in a scan upside down")
    if not coarse.is_cut(2) and abs(along_depth) > abs(along_height) + MAX_ARCHING_GAP:
        signs.append("the lungs are domed from front to back, not from foot to head, as if axes were exchanged")
    centre = (np.argwhere(coarse.lungs)[:, 1].mean() + 0.5 - coarse.low[1]) / (coarse.high[1] - coarse.low[1])
    middle, height = coarse.part(0, *MIDDLE), coarse.part(2, 0.0, 1.0)
    reach = REACH_MM / float((coarse.high[1] - coarse.low[1]) * coarse.voxel_mm[1])
    bone = coarse.hu > BONE_HU
    behind_ml = coarse.volume_ml(bone[middle, coarse.part(1, -reach, STRIP), height])
    front_ml = coarse.volume_ml(bone[middle, coarse.part(1, 1 - STRIP, 1 + reach), height])
    if centre > MAX_CENTRE and front_ml > behind_ml:
        signs.append(
            f"spine and wider part of the lungs lie in front (bone: {front_ml:.0f} ml in front of the lungs, "
            f"{behind_ml:.0f} ml behind)"
        )
    return signs


def _arching(view: LungView, axis: int) -> float:
    """How much further along an axis lungs are in the middle of their outline than at its edge, both ends, -2 to 2."""
    lungs = np.moveaxis(view.lungs, axis, 2)
    outline = lungs.any(axis=2)
    voxel_mm = np.delete(view.voxel_mm, axis)
    inward_mm = ndimage.distance_transform_edt(np.pad(outline, 1), voxel_mm)[1:-1, 1:-1][outline]
    bottom, top = lungs.argmax(axis=2)[outline], -lungs[:, :, ::-1].argmax(axis=2)[outline]
    return sum(_correlation(inward_mm, end) for end in (bottom, top))


def _correlation(first: np.ndarray, second: np.ndarray) -> float:
    """0 if one of them is constant."""
    spread = float(first.std() * second.std())
    return float(((first - first.mean()) * (second - second.mean())).mean()) / spread if spread > 0 else 0.0


def unlike_lungs(fixed: LungView, moving: LungView) -> list[str]:
    """Signs that the lungs of a pair cannot be those of one patient in the same position."""
    signs = []
    for axis, name in enumerate(AXES):
        extents = [float((part.high - part.low)[axis] * part.voxel_mm[axis]) for part in (fixed, moving)]
        is_cut = fixed.is_cut(axis) or moving.is_cut(axis)
        if not is_cut and max(extents) > MAX_PAIR_RATIO * min(extents):
            signs.append(
                f"{name} of the lungs: {extents[0]:.0f} mm in the fixed, {extents[1]:.0f} mm in the moving scan"
            )
    return signs
