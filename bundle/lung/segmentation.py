"""Segment both lungs in a chest CT."""

from __future__ import annotations

import numpy as np
from monai.data import MetaTensor
from scipy import ndimage

from bundle.lung.airways import find_airways
from bundle.lung.morphology import box_of, close, dilate
from bundle.lung.parts import find_parts
from bundle.lung.sides import LEFT, RIGHT, Scene, label_sides
from bundle.lung.work_grid import TISSUE_HU, on_scan_grid, work_grid

CLOSING_MM = 9.0  # includes the vessels
MAX_LUNGS_MM3 = 15e6  # of an adult


def find_lungs(scan: MetaTensor) -> MetaTensor | None:
    """Segment the lungs of a scan, also single lungs and lungs cropped by the field of view.

    Args:
        scan: (1, H, W, D), HU, with its affine.
    Returns: labels (1, H, W, D) uint8 on the scan's own grid, 1 in the right lung and 2 in the left; None if there are
        no lungs.
    """
    grid = work_grid(scan)
    if grid is None:
        return None
    air = (grid.hu < TISSUE_HU) & ~grid.padding
    airways = find_airways(grid.hu, air, grid.spacing, grid.scale)
    parts = find_parts(grid, air & ~dilate(airways, 3.0 * grid.scale, grid.spacing))
    if parts is None:
        return None
    excluded = parts.others | airways
    outside = parts.outside if grid.is_burnt else parts.outside | grid.padding
    scene = Scene(grid.hu, airways, outside, grid.spacing, grid.scale)
    if parts.lungs.sum() * grid.spacing.prod() > MAX_LUNGS_MM3 * grid.scale**3:
        return None  # noise, or air around the patient
    labels = label_sides(parts.lungs, scene)
    filled = np.zeros_like(labels)
    for side in (RIGHT, LEFT):
        if not (labels == side).any():
            continue
        box = box_of(labels == side, round(CLOSING_MM * grid.scale / grid.spacing.min()) + 2)
        closed = close(labels[box] == side, CLOSING_MM * grid.scale, grid.spacing)
        free = (filled[box] == 0) & ~grid.padding[box] & ~excluded[box]
        filled[box][ndimage.binary_fill_holes(closed) & free] = side
    return on_scan_grid(filled, excluded, grid, scan)
