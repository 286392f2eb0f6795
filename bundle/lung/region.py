"""Segment the lungs in a chest CT."""

from __future__ import annotations

import logging
from collections.abc import Hashable, Mapping
from typing import Any

import numpy as np
import torch
from monai.config import KeysCollection
from monai.data import MetaTensor
from monai.transforms import MapTransform
from scipy import ndimage

from bundle.geometry import affine_columns, apply_affine, slabs_of_points
from bundle.resample import AIR_HU, coarsen, resample

log = logging.getLogger(__name__)

WORK_SPACING_MM = 3.0
PADDING_HU = -1100.0  # below any calibrated air: scanners set voxels outside the field of view to -2000
TISSUE_HU = -400.0  # between aerated lung and soft tissue
AIR_MARGIN_HU = 25.0  # emphysema exceeds the air around the patient by more than this
FOAM_MARGIN_HU = 75.0  # air and foam between the patient and the table exceed it by less than this
OPENING_MM = 3.0  # separates skin folds, the trachea's wall and gaps of the table from the lungs
CLOSING_MM = 9.0  # includes the vessels
DEEP_MM = 6.0  # depth at which partial volume no longer makes thin pockets of air look like lung
MAX_OPEN_SHARE = 0.35  # of a part's surface on the sides of the scan: 0.4 to 0.55 for outside air, below 0.1 for lungs
MIN_OPEN_SHARE = 0.02  # lungs close to the side of the scan stay below this
MIN_LUNG_ML = 150.0
MIN_SHARE = 0.15  # of the first lung's volume; a smaller second part is a gas bubble or a slice of the other lung


def find_lungs(scan: MetaTensor) -> MetaTensor | None:
    """Segment the lungs of a scan, also single lungs and lungs cropped by the field of view.

    Air below -400 HU is split into connected parts. A part is air around the patient if much of its surface is on the
    sides of the scan. It is bowel gas or an air pocket if it is thin, or not denser than outside air in its interior. A
    part that extends through all slices and is open to a side must be denser, because narrow fields of view crop the
    table's foam. The lungs are the largest remaining part and a second one of comparable size.

    Args:
        scan: (1, H, W, D), HU, with its affine.
    Returns: mask (1, H, W, D) uint8 on the scan's own grid, or None if there are no lungs.
    """
    coarse = coarsen(scan, WORK_SPACING_MM)
    hu = coarse[0].numpy()
    spacing = coarse.pixdim.numpy()
    padding = hu < PADDING_HU
    air = (hu < TISSUE_HU) & ~padding
    labels, count = ndimage.label(ndimage.binary_opening(air, _ball(OPENING_MM, spacing)))
    if count == 0:
        return None
    index = np.arange(1, count + 1)
    sizes_ml = ndimage.sum_labels(np.ones_like(hu), labels, index) * float(np.prod(spacing)) / 1000
    deep = np.where(ndimage.binary_erosion(labels > 0, _ball(DEEP_MM, spacing)), labels, 0)
    medians_hu = ndimage.median(hu, deep, index)
    open_shares = _open_shares(labels, padding, index)
    is_outside = open_shares > MAX_OPEN_SHARE
    is_thick = np.isin(index, deep)
    outside_hu = min([AIR_HU, *medians_hu[is_outside & is_thick & (sizes_ml > MIN_LUNG_ML)]])
    is_through = _runs_through(labels, padding, index) & (open_shares > MIN_OPEN_SHARE)
    margin_hu = np.where(is_through, FOAM_MARGIN_HU, AIR_MARGIN_HU)
    is_lung = ~is_outside & is_thick & (medians_hu > outside_hu + margin_hu)
    largest = sorted(index[is_lung], key=lambda i: -sizes_ml[i - 1])[:2]
    if not largest or sizes_ml[largest[0] - 1] < MIN_LUNG_ML:
        return None
    lungs = [i for i in largest if sizes_ml[i - 1] >= MIN_SHARE * sizes_ml[largest[0] - 1]]
    closed = ndimage.binary_closing(np.pad(np.isin(labels, lungs), 4, mode="edge"), _ball(CLOSING_MM, spacing))[
        4:-4, 4:-4, 4:-4
    ]
    filled = ndimage.binary_fill_holes(closed & ~padding)
    return _on_grid_of(scan, MetaTensor(torch.from_numpy(filled.astype(np.float32))[None], affine=coarse.affine))


def _open_shares(labels: np.ndarray, padding: np.ndarray, index: np.ndarray) -> np.ndarray:
    """Share of each part's surface on the in-plane sides of the scan or on its padding."""
    sides = np.ones_like(padding)
    sides[1:-1, 1:-1, :] = False
    sides |= ndimage.binary_dilation(padding)
    neighbourhood_min = ndimage.minimum_filter(
        labels, footprint=ndimage.generate_binary_structure(3, 1), mode="constant"
    )
    surface = (labels > 0) & (neighbourhood_min != labels)
    on_surface = ndimage.sum_labels(surface, labels, index)
    return np.asarray(ndimage.sum_labels(surface & sides, labels, index) / np.maximum(on_surface, 1))


def _runs_through(labels: np.ndarray, padding: np.ndarray, index: np.ndarray) -> np.ndarray:
    """Whether each part extends from the first to the last slice that is not all padding."""
    slices = np.flatnonzero(~padding.all(axis=(0, 1)))
    return np.isin(index, labels[:, :, slices[0]]) & np.isin(index, labels[:, :, slices[-1]])


def _ball(radius_mm: float, spacing: np.ndarray) -> np.ndarray:
    """Ellipsoidal structuring element of `radius_mm` on a grid of `spacing` (at least one voxel per axis)."""
    radii = np.maximum(np.round(radius_mm / spacing).astype(int), 1)
    axes = np.ogrid[tuple(slice(-r, r + 1) for r in radii)]
    return sum((axis / radius) ** 2 for axis, radius in zip(axes, radii, strict=True)) <= 1.0


def _on_grid_of(scan: MetaTensor, mask: MetaTensor) -> MetaTensor:
    """Resample a coarse mask (1, h, w, d) to the grid of `scan`: trilinear interpolation, threshold 0.5."""
    to_coarse = torch.linalg.inv(mask.affine.double()) @ scan.affine.double()
    inside = mask[0].as_tensor().nonzero().double()
    ends = torch.stack([inside.amin(dim=0) - 1, inside.amax(dim=0) + 1])  # the interpolated mask is zero outside
    corners = apply_affine(torch.linalg.inv(to_coarse), torch.cartesian_prod(*ends.T))
    last = torch.tensor(scan.shape[1:]) - 1
    low = torch.minimum(corners.amin(dim=0).floor().clamp_min(0), last).long()
    high = torch.minimum(corners.amax(dim=0).ceil().clamp_min(0), last).long() + 1
    result = torch.zeros(scan.shape, dtype=torch.uint8)
    box = result[:, low[0] : high[0], low[1] : high[1], low[2] : high[2]]
    for rows, points in slabs_of_points(box.shape[1:], mask):
        points += low.view(3, 1, 1, 1)
        points_vox = affine_columns(to_coarse, points.flatten(1)).view_as(points)
        box[:, rows] = resample(mask.as_tensor(), points_vox, fill=0.0) >= 0.5
    return MetaTensor(result, affine=scan.affine)


class LungRegiond(MapTransform):
    """Add the lung mask `<key>_mask` of every scan without a mask of the user's.

    If no lung is found (MR, other anatomy), the mask is the whole image, with a warning. `<key>_lungs_found` and
    `<key>_mask_given` record the source of the mask for the report.

    Raises: ValueError naming the mask's file if the user's mask is empty.
    """

    def __init__(self, keys: KeysCollection) -> None:
        super().__init__(keys)

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        pair = dict(data)
        for key in self.key_iterator(pair):
            scan = pair[key]
            given = pair.get(f"{key}_mask")
            mask = find_lungs(scan) if given is None else (given > 0).to(torch.uint8)
            if given is not None and not (given > 0).any():
                file = given.meta.get("filename_or_obj", f"{key}_mask")
                raise ValueError(f"{file}: the mask holds no voxel above 0")
            pair[f"{key}_lungs_found"] = mask is not None
            pair[f"{key}_mask_given"] = given is not None
            if mask is None:
                log.warning("%s: no lung found in the %s scan, the whole image is used", pair.get("name", "pair"), key)
                mask = MetaTensor(torch.ones_like(scan, dtype=torch.uint8), affine=scan.affine)
            pair[f"{key}_mask"] = mask
        return pair
