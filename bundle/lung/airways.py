"""Trachea and main bronchi of a chest CT."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from bundle.lung.morphology import PLANAR, Mask, medians_of

AREA_MM2 = (40.0, 700.0)  # cross-section of an adult's trachea and main bronchi
MAX_WIDTH_MM = 36.0
MIN_FILL = 0.5  # of the bounding rectangle of a cross-section; 0.79 for an ellipse
MIN_LENGTH_MM = 30.0
LUMEN_HU = -850.0  # air in a tube, averaged with a little wall; lungs are denser, or wide


def find_airways(hu: NDArray[np.float32], air: Mask, spacing: NDArray, scale: float) -> Mask:
    """Trachea and main bronchi outside the lungs, as far as tissue walls them off in axial slices.

    Small round cross-sections of air with tissue all around are stacked. Stacks of some length are airways; the tips of
    the lungs widen sooner, and bubbles of gas are shorter.

    Args:
        hu: (h, w, d), RAS axis order.
        air: (h, w, d), everything below the threshold.
        scale: size of the chest relative to an adult's.
    """
    sections, count = ndimage.label(air, PLANAR)
    if count == 0:
        return np.zeros_like(air)
    index = np.arange(1, count + 1)
    area = np.bincount(sections.ravel(), minlength=count + 1)[1:] * spacing[0] * spacing[1]
    boxes = ndimage.find_objects(sections)
    width = np.array([[(box[a].stop - box[a].start) * spacing[a] for a in (0, 1)] for box in boxes])
    border = np.unique(np.concatenate([sections[[0, -1]].ravel(), sections[:, [0, -1]].ravel()]))
    good = (area >= AREA_MM2[0] * scale**2) & (area <= AREA_MM2[1] * scale**2)
    good &= (width.max(axis=1) <= MAX_WIDTH_MM * scale) & (area >= MIN_FILL * width.prod(axis=1))
    good &= ~np.isin(index, border)
    stacked, number = ndimage.label(np.isin(sections, index[good]))
    if number == 0:
        return np.zeros_like(air)
    stacks = np.arange(1, number + 1)
    lengths = np.array([(box[2].stop - box[2].start) * spacing[2] for box in ndimage.find_objects(stacked)])
    is_airway = (lengths >= MIN_LENGTH_MM * scale) & (medians_of(hu, stacked, number) < LUMEN_HU)
    return np.isin(stacked, stacks[is_airway])
