"""The grid on which lungs are searched, and the way back to the scan's own."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from monai.data import MetaTensor
from monai.transforms import Orientation
from nibabel.orientations import aff2axcodes
from numpy.typing import NDArray
from scipy import ndimage
from torch import Tensor

from bundle.geometry import slabs, spacing_mm
from bundle.lung.morphology import Labels, Mask, box_of, dilate, erode

WORK_SPACING_MM = 3.0
ADULT_MM = 300.0  # longest side of the tissue in a scan of an adult's chest; everything scales with it below
PADDING_HU = -1300.0  # below air with noise: scanners set voxels outside the field of view to -2000
TISSUE_HU = -400.0  # between aerated lung and soft tissue
BLUR = 0.45  # standard deviation of a Gaussian over the width of a block that blurs alike
EMPTY_HU = -850.0  # an axial slice without anything denser shows no patient
BURNT_SHARE = 0.5  # of the air: with less tissue, the surroundings of the lungs were overwritten
SPARSE = 3  # every third voxel shows which slices may be empty
FILL_SHARE = 0.02  # of the scan, if one value at its corners is a fill value


class WorkGrid(NamedTuple):
    """A coarse copy of a scan, in RAS axis order, without its empty slices.

    Args:
        scan: (H, W, D) float32, HU, in RAS axis order; empty slices between others repeat their neighbour.
        box: the part of the scan in RAS order that `scan` is.
        empty: (D,) slices of `scan` without content.
        hu: (h, w, d) float32, averages of blocks.
        padding: (h, w, d) bool, filled by the scanner or a program.
        affine: (4, 4) of the coarse voxels, RAS mm.
        blocks: voxels of `scan` per coarse voxel and axis.
        scale: size of the chest relative to an adult's, at most 1.
        is_burnt: all but the lungs was overwritten.
    """

    scan: Tensor
    box: tuple[slice, slice, slice]
    empty: NDArray[np.bool_]
    hu: NDArray[np.float32]
    padding: Mask
    affine: Tensor
    blocks: tuple[int, int, int]
    scale: float
    is_burnt: bool

    @property
    def spacing(self) -> NDArray[np.float64]:
        """Voxel size (3,) of the coarse grid, mm."""
        return spacing_mm(self.affine).numpy()


def work_grid(scan: MetaTensor) -> WorkGrid | None:
    """Coarse copy of a scan (1, H, W, D), or None if all slices are empty."""
    canonical = Orientation(axcodes="RAS", labels=None)(scan)
    voxels, affine = canonical[0].as_tensor().float(), canonical.affine.double()
    found = _without_empty_slices(voxels)
    if found is None:
        return None
    voxels, box, empty = found
    affine = affine.clone()
    affine[:3, 3] += affine[:3, :3] @ torch.tensor([float(side.start) for side in box], dtype=torch.float64)
    size_mm = float((spacing_mm(affine) * torch.tensor(voxels.shape)).max())
    scale = min(1.0, size_mm / ADULT_MM)
    hu, padding, blocks = _coarsen(voxels, spacing_mm(affine), WORK_SPACING_MM * scale)
    tissue = (hu > TISSUE_HU) & ~padding
    is_burnt = bool(tissue.sum() < BURNT_SHARE * ((hu <= TISSUE_HU) & ~padding).sum() and padding.any())
    body = ~padding if is_burnt else tissue
    if not body.any():
        return None
    sides = [side.stop - side.start for side in box_of(body, 0)]
    body_mm = float((np.array(sides) * np.array(blocks) * spacing_mm(affine).numpy()).max())
    if body_mm < 0.7 * min(size_mm, ADULT_MM):  # a small animal or child in a large field of view
        scale = body_mm / ADULT_MM
        hu, padding, blocks = _coarsen(voxels, spacing_mm(affine), WORK_SPACING_MM * scale)
    to_scan = torch.eye(4, dtype=torch.float64)
    to_scan[:3, :3] = torch.diag(torch.tensor(blocks, dtype=torch.float64))
    to_scan[:3, 3] = (torch.tensor(blocks, dtype=torch.float64) - 1) / 2
    return WorkGrid(voxels, box, empty, hu, padding, affine @ to_scan, blocks, scale, is_burnt)


def on_scan_grid(labels: Labels, excluded: Mask, grid: WorkGrid, scan: MetaTensor) -> MetaTensor:
    """Labels of the coarse grid on that of the scan (1, H, W, D): coarse inside, thresholded at the surface.

    Coarse voxels at the surface are decided voxel by voxel: what is air there belongs to the lung next to it.

    Args:
        excluded: (h, w, d), air of other parts: airways, bowel, air around the patient.
    """
    lungs = labels > 0
    box = box_of(lungs, 2)
    step = grid.spacing.max() * 1.001
    inner = erode(lungs[box], step, grid.spacing, outside=True)
    outer = labels[box].copy()
    for side in (1, 2):
        grown = dilate(labels[box] == side, step, grid.spacing)
        outer[grown & (outer == 0)] = side
    outer[excluded[box] | grid.padding[box]] = 0
    low = [side.start * block for side, block in zip(box, grid.blocks, strict=True)]
    high = [
        size if side.stop >= coarse else side.stop * block
        for side, block, size, coarse in zip(box, grid.blocks, grid.scan.shape, lungs.shape, strict=True)
    ]
    fine = grid.scan[low[0] : high[0], low[1] : high[1], low[2] : high[2]]
    rows = [
        (torch.arange(size) // block).clamp_max(side - 1)
        for size, block, side in zip(fine.shape, grid.blocks, outer.shape, strict=True)
    ]
    label = _repeat(torch.from_numpy(outer.astype(np.uint8)), rows)
    label *= _repeat(torch.from_numpy(inner), rows) | ((fine < TISSUE_HU) & (fine > PADDING_HU))
    label[:, :, torch.from_numpy(grid.empty[low[2] : high[2]])] = 0
    canonical = Orientation(axcodes="RAS", labels=None)(scan)
    result = torch.zeros(canonical.shape, dtype=torch.uint8)
    start = [side.start + first for side, first in zip(grid.box, low, strict=True)]
    place = tuple(slice(first, first + size) for first, size in zip(start, label.shape, strict=True))
    result[0][place] = label
    back = Orientation(axcodes=aff2axcodes(scan.affine.numpy()), labels=None)(
        MetaTensor(result, affine=canonical.affine)
    )
    return MetaTensor(back.as_tensor().contiguous(), affine=scan.affine)


def _repeat(coarse: Tensor, rows: list[Tensor]) -> Tensor:
    """Coarse voxels (h, w, d) repeated on the scan's grid; `rows` holds the coarse index of each row, by axis."""
    for axis in (2, 1, 0):
        coarse = coarse.index_select(axis, rows[axis])
    return coarse


def _without_empty_slices(
    voxels: Tensor,
) -> tuple[Tensor, tuple[slice, slice, slice], NDArray[np.bool_]] | None:
    """Cut slices of one value off at the faces; axial ones between others, or all of air, repeat a neighbour.

    Returns: voxels, their box in the scan, the repeated slices; None if nothing is left.
    """
    box: list[slice] = []
    for axis in (2, 1, 0):
        others = tuple(other for other in range(3) if other != axis)
        sparse = voxels[tuple(slice(None, None, 1 if other == axis else SPARSE) for other in range(3))]
        low, high = sparse.amin(dim=others), sparse.amax(dim=others)
        empty = (low == high) | (high < EMPTY_HU) if axis == 2 else low == high
        for place in empty.nonzero()[:, 0].tolist():
            whole = voxels.select(axis, place)
            empty[place] = whole.amin() == whole.amax() or (axis == 2 and whole.amax() < EMPTY_HU)
        filled = (~empty).nonzero()[:, 0]
        if not len(filled):
            return None
        box.insert(0, slice(int(filled[0]), int(filled[-1]) + 1))
        voxels = voxels.narrow(axis, box[0].start, box[0].stop - box[0].start)
        if axis == 2:
            holes = empty[box[0]].numpy()
            if holes.any():
                places = np.arange(len(holes))
                nearest = places[~holes][np.abs(places[:, None] - places[~holes]).argmin(axis=1)]
                voxels = voxels[:, :, torch.from_numpy(nearest)]
    return voxels, (box[0], box[1], box[2]), holes


def _coarsen(
    voxels: Tensor, voxel_mm: Tensor, target_mm: float
) -> tuple[NDArray[np.float32], Mask, tuple[int, int, int]]:
    """Averages of blocks no larger than `target_mm`, without padding; which blocks are padding; the blocks."""
    sides = [
        max(1, min(int(target_mm / size + 1e-3), count))
        for size, count in zip(voxel_mm.tolist(), voxels.shape, strict=True)
    ]
    blocks = (sides[0], sides[1], sides[2])
    hu = _pooled(voxels, blocks, lambda part: part)
    if voxels.amin() < PADDING_HU:
        share = _pooled(voxels, blocks, lambda part: (part < PADDING_HU).float())
        known = _pooled(voxels, blocks, lambda part: part.masked_fill(part < PADDING_HU, 0.0))
        hu = torch.where(share < 1, known / (1 - share).clamp_min(1e-6), hu)
        padding = (share == 1).numpy()
    else:
        padding = np.zeros(hu.shape, bool)
    fill = _fill_value(voxels)
    if fill is not None and fill >= PADDING_HU:
        same = (_pooled(voxels, blocks, lambda part: (part == fill).float()) == 1).numpy()
        solid = ndimage.binary_dilation(ndimage.binary_erosion(same, border_value=True), mask=same)
        padding |= _reaches_border(solid)  # not single voxels of noise that a program clipped
    resolved = voxel_mm.numpy() * np.array(blocks)
    blur = np.sqrt(np.clip((target_mm / resolved) ** 2 - 1, 0, None)) * BLUR  # as much as averages of `target_mm`
    return ndimage.gaussian_filter(hu.numpy(), blur, truncate=2.0), padding, blocks


def _pooled(voxels: Tensor, blocks: tuple[int, int, int], values: Callable[[Tensor], Tensor]) -> Tensor:
    """Averages over blocks of values that are computed from voxels (H, W, D), slab by slab."""
    sides = [size // block for size, block in zip(voxels.shape, blocks, strict=True)]
    pooled = torch.empty(sides)
    for start, stop in slabs([sides[0], blocks[0] * voxels.shape[1], voxels.shape[2]]):
        rows = values(voxels[start * blocks[0] : stop * blocks[0]])
        pooled[start:stop] = F.avg_pool3d(rows.unflatten(0, (stop - start, blocks[0]))[:, None], blocks)[:, 0, 0]
    return pooled


def _fill_value(voxels: Tensor) -> float | None:
    """The value that most corners share, if it fills a part of the scan."""
    corners = voxels[[0, 0, 0, 0, -1, -1, -1, -1], [0, 0, -1, -1, 0, 0, -1, -1], [0, -1, 0, -1, 0, -1, 0, -1]]
    value = float(corners.mode().values)
    is_fill = int((corners == value).sum()) >= 4 and float((voxels[::2, ::2] == value).float().mean()) > FILL_SHARE
    return value if is_fill else None


def _reaches_border(mask: Mask) -> Mask:
    """Connected parts of a mask that touch a face of the grid."""
    labels, _ = ndimage.label(mask)
    faces = [np.unique(labels.take(end, axis)) for axis in range(3) for end in (0, -1)]
    return np.isin(labels, np.setdiff1d(np.concatenate(faces), [0]))
