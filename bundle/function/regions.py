"""Regions of the lungs: sides, lobes, and thirds along the patient's axes."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from monai.data import MetaTensor
from numpy.typing import NDArray
from scipy import ndimage

from bundle.function.breath import Breath

TOTAL = "both lungs"
SIDES = {1: "right lung", 2: "left lung"}
THIRDS = {  # RAS axis: names from its lower end to its upper one
    2: ("base third", "middle third", "apex third"),
    1: ("back third", "mid-depth third", "front third"),
}
NEAREST_MM = 3.0  # grid on which the side of a voxel without one is looked up

Region = NDArray[np.bool_]


def find_regions(
    breath: Breath,
    lungs: MetaTensor | None = None,
    lobes: MetaTensor | None = None,
    lobe_names: Mapping[int, str] | None = None,
) -> dict[str, Region]:
    """Which lung voxels (n,) lie in each region; empty regions are left out.

    Thirds divide the extent of both lungs along the patient's head-foot and front-back axes (RAS, whatever the
    orientation of the grid) into three equal lengths.

    Args:
        lungs: (1, H, W, D) on the fixed grid, 1 right and 2 left; a lung voxel without a side takes the nearest one.
        lobes: (1, H, W, D) on the fixed grid, whole numbers, 0 outside.
        lobe_names: name of each label; "lobe N" for others.
    """
    regions: dict[str, Region] = {TOTAL: np.ones(int(breath.inside.sum()), np.bool_)}
    if lungs is not None:
        labels = _sides(_on_box(breath, lungs), breath)
        regions |= {name: labels == side for side, name in SIDES.items()}
    if lobes is not None:
        labels = _on_box(breath, lobes)[breath.inside]
        for label in sorted(set(np.unique(labels).tolist()) - {0}):
            regions[(lobe_names or {}).get(int(label), f"lobe {int(label)}")] = labels == label
    points_mm = breath.points_mm().numpy()
    for axis, names in THIRDS.items():
        along = points_mm[:, axis]
        share = (along - along.min()) / max(float(np.ptp(along)), 1e-6)
        third = np.minimum((3 * share).astype(int), 2)
        regions |= {names[number]: third == number for number in (2, 1, 0)}
    return {name: region for name, region in regions.items() if region.any()}


def _on_box(breath: Breath, labels: MetaTensor) -> NDArray:
    box = tuple(slice(low, low + size) for low, size in zip(breath.start, breath.inside.shape, strict=True))
    on_box: NDArray = labels.as_tensor()[0][box].numpy()
    return on_box


def _sides(labels: NDArray, breath: Breath) -> NDArray:
    """Side (n,) of each lung voxel."""
    sides = labels[breath.inside].copy()
    if (sides == 0).any() and (sides > 0).any():
        steps = [max(1, int(NEAREST_MM / size)) for size in breath.spacing_mm]
        coarse = labels[tuple(slice(None, None, step) for step in steps)]
        if (coarse > 0).any():
            place = [size * step for size, step in zip(breath.spacing_mm, steps, strict=True)]
            nearest = ndimage.distance_transform_edt(
                coarse == 0, sampling=place, return_distances=False, return_indices=True
            )
            missing = np.argwhere(breath.inside)[sides == 0] // steps
            missing = np.minimum(missing, np.array(coarse.shape) - 1)
            sides[sides == 0] = coarse[tuple(nearest[:, missing[:, 0], missing[:, 1], missing[:, 2]])]
    return sides
