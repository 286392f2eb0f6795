"""Find the lungs in a chest CT."""

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
PADDING_HU = -1100.0  # below any calibrated air: scanners mark what lies outside the field of view with -2000
TISSUE_HU = -400.0  # between aerated lung and soft tissue
AIR_MARGIN_HU = 25.0  # emphysema stays this much above the air around the patient
FOAM_MARGIN_HU = 75.0  # and what lies between the patient and the table, air and foam, below this
OPENING_MM = 3.0  # cuts skin folds, the trachea's wall and the table's gaps from the lungs
CLOSING_MM = 9.0  # takes in the vessels
DEEP_MM = 6.0  # so far from a part's surface its density is its own; nearer, thin pockets of air read like lung
MAX_OPEN_SHARE = 0.35  # of a part's surface on the sides of the scan: 0.4 to 0.55 for outside air, below 0.1 for lungs
MIN_OPEN_SHARE = 0.02  # less is the wall of a lung that lies close to the side of the scan
MIN_LUNG_ML = 150.0
MIN_SHARE = 0.15  # a second lung smaller than this share of the first is a gas bubble or a slice of the other side


def find_lungs(scan: MetaTensor) -> MetaTensor | None:
    """Mask (1, H, W, D) uint8 of the lungs on the scan's own grid, or None if there are none.

    Air below -400 HU splits into connected parts. A part is the air around the patient if much of its surface lies on
    the sides of the scan, and bowel gas or a pocket of air if it is thin or, deep inside, as empty as that air. A part
    that runs through the scan from end to end and is open to a side must be denser, since a narrow field of view cuts
    off the foam of the table. Of the others the largest and a comparable second one are the lungs. Neither a closed
    chest wall nor a whole lung is needed, so single lungs and lungs cut by the field of view are found too.

    Args:
        scan: (1, H, W, D), HU, with its affine.
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
    """Share of each part's surface that lies on the in-plane sides of the scan or on its padding."""
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
    """Whether each part reaches both the first and the last slice that is not all padding."""
    slices = np.flatnonzero(~padding.all(axis=(0, 1)))
    return np.isin(index, labels[:, :, slices[0]]) & np.isin(index, labels[:, :, slices[-1]])


def _ball(radius_mm: float, spacing: np.ndarray) -> np.ndarray:
    """Ellipsoidal structuring element of `radius_mm` on a grid of `spacing` (at least one voxel in each axis)."""
    radii = np.maximum(np.round(radius_mm / spacing).astype(int), 1)
    axes = np.ogrid[tuple(slice(-r, r + 1) for r in radii)]
    return sum((axis / radius) ** 2 for axis, radius in zip(axes, radii, strict=True)) <= 1.0


def _on_grid_of(scan: MetaTensor, mask: MetaTensor) -> MetaTensor:
    """Bring a coarse mask (1, h, w, d) back to the grid of `scan` by trilinear interpolation at one half."""
    to_coarse = torch.linalg.inv(mask.affine.double()) @ scan.affine.double()
    inside = mask[0].as_tensor().nonzero().double()
    ends = torch.stack([inside.amin(dim=0) - 1, inside.amax(dim=0) + 1])  # beyond these the interpolated mask is zero
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
    """Add the lung mask `<key>_mask` of every scan that comes without one.

    A mask that is already there (the user's own) is kept. Where no lung is found (MR, other anatomy) the whole image
    takes its place, with a warning. `<key>_lungs_found` tells the report which it was, `<key>_mask_given` whose it is.

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
