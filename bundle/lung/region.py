"""Lung regions of a pair of scans."""

from __future__ import annotations

import logging
from collections.abc import Hashable, Mapping
from typing import Any

import torch
from monai.config import KeysCollection
from monai.data import MetaTensor
from monai.transforms import MapTransform

from bundle.lung.segmentation import find_lungs
from bundle.lung.work_grid import TISSUE_HU
from bundle.processors import side_by_side

log = logging.getLogger(__name__)


class LungRegiond(MapTransform):
    """Add the lung mask `<key>_mask` (1, H, W, D) uint8, 0 or 1, of every scan without a mask of the user's.

    If neither scan has lungs (MR, other anatomy), the masks are the whole images, with a warning. `<key>_lungs_found`
    and `<key>_mask_given` record the source of the mask for the report. Where the sides of all masks are known,
    `<key>_lungs` (1, H, W, D) holds 1 in the right lung and 2 in the left, for the alignment.

    Raises: ValueError naming the file if the user's mask is empty, or if only the other scan has lungs.
    """

    def __init__(self, keys: KeysCollection) -> None:
        super().__init__(keys)

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        pair = dict(data)
        keys = list(self.key_iterator(pair))
        given = {key: pair.get(f"{key}_mask") for key in keys}
        for key, mask in given.items():
            if mask is not None and not (mask > 0).any():
                raise ValueError(f"{_file(mask, f'{key}_mask')}: the mask holds no voxel above 0")
        lungs = dict(zip(keys, side_by_side(find_lungs, [pair[key] for key in keys]), strict=True))
        masks = {key: lungs[key] if given[key] is None else given[key] for key in keys}
        for key in keys:
            pair[f"{key}_mask_given"] = given[key] is not None
            pair[f"{key}_lungs_found"] = masks[key] is not None
        missing = [key for key, mask in masks.items() if mask is None]
        if len(missing) == len(masks):
            text = "%s: no lung found in the scan (%s), the whole image is used on a coarser grid"
            log.warning(text, pair.get("name", "pair"), ", ".join(map(str, missing)))
        elif missing:
            other = next(key for key, mask in masks.items() if mask is not None)
            raise ValueError(_only_one_has_lungs(pair, missing[0], other))
        sides = {key: lungs[key] if given[key] is None else _sides(lungs[key], given[key]) for key in keys}
        if all(labels is not None for labels in sides.values()):
            pair |= {f"{key}_lungs": labels for key, labels in sides.items()}
        for key, mask in masks.items():
            region = torch.ones(pair[key].shape, dtype=torch.uint8) if mask is None else mask.as_tensor() > 0
            pair[f"{key}_mask"] = MetaTensor(region.to(torch.uint8), affine=pair[key].affine)
        return pair


def _sides(lungs: MetaTensor | None, mask: MetaTensor) -> MetaTensor | None:
    """The lungs in a mask, 1 right and 2 left; None if they are less than half of it."""
    if lungs is None:
        return None
    inside = lungs.as_tensor() * (mask.as_tensor() > 0)
    is_most = 2 * inside.count_nonzero() > (mask.as_tensor() > 0).count_nonzero()
    return MetaTensor(inside, affine=lungs.affine) if is_most else None


def _only_one_has_lungs(pair: Mapping[Hashable, Any], key: Hashable, other: Hashable) -> str:
    """Why a pair is refused: what the scan `key` holds, and what to do."""
    scan = pair[key]
    air_percent = 100 * float((scan.as_tensor() < TISSUE_HU).float().mean())
    values = f"values {float(scan.min()):.0f} to {float(scan.max()):.0f}, {air_percent:.0f} %"
    source = "has a mask" if pair[f"{other}_mask_given"] else "has lungs"
    return (
        f"{_file(scan, key)}: no lung found ({values} below {TISSUE_HU:.0f} HU), "
        f"but {_file(pair[other], other)} {source}: "
        f"pass --{key}_mask, or check that the scan is in HU, upright, and of the same region"
    )


def _file(volume: MetaTensor, key: Hashable) -> str:
    return str(volume.meta.get("filename_or_obj", key))
