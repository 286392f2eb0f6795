"""Bring the masks of a user to the grids of their scans."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

from monai.transforms import MapTransform

from bundle.io import fit_mask


class FitMasksd(MapTransform):
    """Resample the loaded mask `<key>_mask` of every scan to its grid (nearest voxel); pairs without are unchanged.

    Raises: ValueError naming both files and their positions: see `bundle.io.fit_mask`.
    """

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        pair = dict(data)
        for key in self.key_iterator(pair):
            if pair.get(f"{key}_mask") is not None:
                pair[f"{key}_mask"] = fit_mask(pair[f"{key}_mask"], pair[key])
        return pair
