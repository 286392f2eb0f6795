"""Agreement of two contours of one structure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from monai.metrics import compute_average_surface_distance, compute_dice, compute_hausdorff_distance
from monai.transforms import generate_spatial_bounding_box
from torch import Tensor

NAN = float("nan")
HAUSDORFF_PERCENTILE = 95.0


class ContourAgreement(NamedTuple):
    """How well two masks agree; distances are NaN if one of them is empty, all if both are.

    dice: overlap, 0 to 1.
    mda_mm: mean distance to agreement: of each surface voxel to the other surface, over both surfaces together.
    hd95_mm: Hausdorff distance: the larger of the 95th percentiles of the distances from either surface to the other.
    """

    dice: float
    mda_mm: float
    hd95_mm: float


def contour_agreement(first: Tensor, second: Tensor, spacing_mm: Sequence[float]) -> ContourAgreement:
    """Agreement of two masks (H, W, D) on one grid, by MONAI's metrics; surfaces are the centres of border voxels.

    Args:
        first, second: above 0 inside.
        spacing_mm: voxel size; the grid's axes are perpendicular, in any direction.
    Raises: ValueError for masks of different shapes.
    """
    if first.shape != second.shape or first.ndim != 3:
        raise ValueError(
            f"first, second: expected two masks (H, W, D) on one grid, got {tuple(first.shape)}, {tuple(second.shape)}"
        )
    masks = torch.stack([first > 0, second > 0])
    sizes = masks.flatten(1).sum(dim=1)
    if not sizes.any():
        return ContourAgreement(NAN, NAN, NAN)
    start, stop = generate_spatial_bounding_box(masks, channel_indices=None, allow_smaller=False)
    box = masks[:, start[0] : stop[0], start[1] : stop[1], start[2] : stop[2]]
    one, other = box[0][None, None], box[1][None, None]
    dice = float(compute_dice(one, other, ignore_empty=False))
    if not sizes.all():
        return ContourAgreement(dice, NAN, NAN)
    options = {"include_background": True, "spacing": list(spacing_mm)}
    mda_mm = compute_average_surface_distance(one, other, symmetric=True, **options)
    hd95_mm = compute_hausdorff_distance(one, other, percentile=HAUSDORFF_PERCENTILE, **options)
    return ContourAgreement(dice, float(mda_mm), float(hd95_mm))
