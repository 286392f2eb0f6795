"""Tell which connected parts of air in a chest CT are lungs."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from bundle.lung.morphology import Mask, box_of, dilate, erode, grow_in_turns, medians_of
from bundle.lung.work_grid import WorkGrid
from bundle.resample import AIR_HU

AIR_MARGIN_HU = 25.0  # emphysema exceeds the air around the patient by more than this
SMALL_MARGIN_HU = 60.0  # small parts exceed it by more than this: gas in the stomach does not
MIN_DEEP_SHARE = 0.1  # of a bulky part's volume
MAX_OUTSIDE_HU = -880.0  # of bulky air around the patient that ends within the scan; half a lung may be as open
MAX_AMBIENT_HU = -900.0  # of the air around the patient with foam and cloth
FOAM_MARGIN_HU = 75.0  # air and foam between the patient and the table exceed it by less than this
POROUS_MARGIN_HU = 200.0  # collapsed lung full of vessels exceeds it by more
OPENING_MM = 3.0  # separates skin folds and gaps of the table from the lungs
DEEP_MM = 6.0  # depth at which partial volume no longer makes thin pockets of air look like lung
DEEP_VOX = 1.5  # the least depth on coarse grids
MAX_OPEN_SHARE = 0.35  # of a part's surface on the sides of the scan: 0.4 to 0.55 for outside air, less for lungs
MIN_OPEN_SHARE = 0.02  # lungs close to the side of the scan stay below this
MIN_LUNG_ML = 100.0
MIN_PART_ML = 5.0
VAST_ML = 1000.0
MIN_GAS_ML = 1.0  # of the interior
MAX_AIR_SHARE = 0.1  # of the shell beside and below gas: below 0.07 for bowel, above 0.15 for bullae
SMALL_SHARE = 0.15  # of the largest part's volume
MAX_GAS_SHARE = 0.3


class AirParts(NamedTuple):
    """The air of a scan by what it is; masks (h, w, d).

    Args:
        lungs: without airways.
        outside: around the patient.
        others: all that is not lungs, such as outside air, gas, the trachea.
    """

    lungs: Mask
    outside: Mask
    others: Mask


def find_parts(grid: WorkGrid, air: Mask) -> AirParts | None:
    """The air of a scan by what it is; None if there are no lungs.

    Air is split into connected parts. A part is air around the patient if much of its surface is on the sides of the
    scan, unless it is bulky and dense and ends within the scan, as a lung does that the field of view cuts. A part is
    bowel gas or an air pocket if it is thin, or not denser than outside air in its interior. A part that extends
    through all slices and is open to a side must be denser, because narrow fields of view crop the table's foam. The
    lungs are the largest remaining part and all others that are not gas in tissue.

    Args:
        air: (h, w, d), without airways.
    """
    hu, spacing, padding, scale = grid.hu, grid.spacing, grid.padding, grid.scale
    opened = dilate(erode(air, OPENING_MM * scale, spacing), OPENING_MM * scale, spacing)
    labels, count = ndimage.label(opened)
    if count == 0:
        return None
    index = np.arange(1, count + 1)
    sizes_vox = np.bincount(labels.ravel())[1:]
    sizes_ml = sizes_vox * float(np.prod(spacing)) / 1000 / scale**3
    deep_mm = max(DEEP_MM * scale, DEEP_VOX * float(spacing.min()))
    deep = np.where(erode(opened, deep_mm, spacing), labels, 0)
    is_thin = ~np.isin(index, deep)
    closed = dilate(opened, OPENING_MM * scale, spacing)  # vessels do not make a small dense lung thin
    porous = erode(closed, OPENING_MM * scale + deep_mm, spacing) & np.isin(labels, index[is_thin])
    deep[porous] = labels[porous]
    is_thick = np.isin(index, deep)
    medians_hu = np.where(is_thick, medians_of(hu, deep, count), AIR_HU)
    open_shares = np.zeros(count) if grid.is_burnt else _open_shares(labels, padding, index)
    is_bulky = np.bincount(deep.ravel(), minlength=count + 1)[1:] > MIN_DEEP_SHARE * sizes_vox
    is_through = _runs_through(labels, index)
    is_cut_lung = is_bulky & (medians_hu > MAX_OUTSIDE_HU) & ~is_through
    is_outside = (open_shares > MAX_OPEN_SHARE) & ~is_cut_lung
    outside_hu = min([AIR_HU, *medians_hu[is_outside & is_thick & (sizes_ml > MIN_LUNG_ML)]])
    is_foam = is_through & (open_shares > MIN_OPEN_SHARE)
    margin_hu = np.where(is_thin, POROUS_MARGIN_HU, np.where(is_foam, FOAM_MARGIN_HU, AIR_MARGIN_HU))
    is_vast = (sizes_ml > VAST_ML) & (open_shares < MIN_OPEN_SHARE)  # severe emphysema: no other air is as large
    is_lung = ~is_outside & is_thick & ((medians_hu > outside_hu + margin_hu) | is_vast)
    largest_ml = sizes_ml[is_lung].max(initial=0.0)
    if largest_ml < MIN_LUNG_ML:
        return None
    is_small = sizes_ml < SMALL_SHARE * largest_ml
    is_ambient = is_outside & is_thick & (sizes_ml > MIN_LUNG_ML) & (medians_hu < MAX_AMBIENT_HU)
    ambient_hu = max([outside_hu, *medians_hu[is_ambient]])  # cone-beam CT shows air too dense, and noise cuts pockets
    is_lung &= ~is_small | (medians_hu > ambient_hu + SMALL_MARGIN_HU) & (sizes_ml > MIN_PART_ML)
    lungs = np.isin(labels, index[is_lung & ~is_small])
    for part in index[(is_lung & is_small) & (medians_hu < np.median(hu[lungs]))]:  # a bubble of gas, blurred
        is_lung[part - 1] = not _in_tissue(labels == part, air, spacing, scale)
    for part in index[is_thick & ~is_lung & ~is_outside & (sizes_ml > MIN_PART_ML)]:  # a bulla in a lung
        is_lung[part - 1] = not _in_tissue(labels == part, lungs, spacing, scale)
    lungs = np.isin(labels, index[is_lung])
    lungs &= ~_gas(np.where(lungs, deep, 0) > 0, lungs, hu, spacing, scale, outside_hu + SMALL_MARGIN_HU)
    others = opened & ~lungs
    outside = np.isin(labels, index[is_outside & (sizes_ml > MIN_LUNG_ML)])
    return AirParts(dilate(lungs, OPENING_MM * scale, spacing, within=air & ~others), outside, others)


def _gas(deep: Mask, lungs: Mask, hu: NDArray[np.float32], spacing: NDArray, scale: float, max_hu: float) -> Mask:
    """Bowel gas that touches a lung: a small interior of air, in tissue on most sides, unlike a bulla.

    Args:
        deep: interior of `lungs`.
        max_hu: median of gas.
    """
    cores, count = ndimage.label(deep)
    index = np.arange(1, count + 1)
    sizes_ml = np.bincount(cores.ravel(), minlength=count + 1)[1:] * float(np.prod(spacing)) / 1000 / scale**3
    is_small = (sizes_ml > MIN_GAS_ML) & (sizes_ml < MAX_GAS_SHARE * sizes_ml.max(initial=0.0))
    medians_hu = medians_of(hu, cores, count)
    gas = [core for core in index[is_small & (medians_hu < max_hu)] if _in_tissue(cores == core, lungs, spacing, scale)]
    if not gas:
        return np.zeros_like(lungs)
    seeds = (deep * 1 + np.isin(cores, gas)).astype(np.int32)
    return grow_in_turns(seeds, lungs) == 2


def _in_tissue(core: Mask, air: Mask, spacing: NDArray, scale: float) -> bool:
    """Whether gas, given by its interior, has little of `air` beside and below it; bowel has lung above it only."""
    box = box_of(core, round(4 * DEEP_MM * scale / spacing.min()) + 2)
    part = dilate(core[box], 3 * DEEP_MM * scale, spacing, within=air[box])
    shell = dilate(part, DEEP_MM * scale, spacing) & ~part
    shell[..., round(float(np.nonzero(core[box])[2].mean())) + 1 :] = False
    return float(air[box][shell].mean()) < MAX_AIR_SHARE


def _open_shares(labels: NDArray, padding: Mask, index: NDArray) -> NDArray:
    """Share of each part's surface on the in-plane sides of the scan or on its padding."""
    sides = np.ones_like(padding)
    sides[1:-1, 1:-1, :] = False
    if padding.any():
        sides |= ndimage.binary_dilation(padding)
    neighbourhood_min = ndimage.minimum_filter(
        labels, footprint=ndimage.generate_binary_structure(3, 1), mode="constant"
    )
    surface = (labels > 0) & (neighbourhood_min != labels)
    on_surface = ndimage.sum_labels(surface, labels, index)
    return np.asarray(ndimage.sum_labels(surface & sides, labels, index) / np.maximum(on_surface, 1))


def _runs_through(labels: NDArray, index: NDArray) -> NDArray:
    """Whether each part extends from the first to the last slice."""
    return np.isin(index, labels[:, :, 0]) & np.isin(index, labels[:, :, -1])
