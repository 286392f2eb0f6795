"""Warn about headers that do not fit the scans of a pair."""

from __future__ import annotations

import logging
from collections.abc import Hashable, Mapping
from functools import partial
from typing import Any

from monai.config import KeysCollection
from monai.transforms import MapTransform

from bundle.plausibility.geometry import (
    LungView,
    check_size,
    implausible_lungs,
    lost_geometry,
    repeated_slices,
    turned_scan,
    unlike_lungs,
    view_lungs,
)
from bundle.plausibility.orientation import other_orientation
from bundle.processors import side_by_side

log = logging.getLogger(__name__)


class PlausibleGeometryd(MapTransform):
    """Add the signs of a wrong header to `implausible`, in words, and to the log; scans are unchanged.

    Requires fixed and moving and their masks; the signs of lungs are looked for where lungs were found.

    Raises: ValueError naming the file if a scan or its lungs are too large for lengths in mm.
    """

    def __init__(self, keys: KeysCollection = ("fixed", "moving")) -> None:
        super().__init__(keys)

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        pair = dict(data)
        signs = list(pair.get("implausible") or [])
        views: list[LungView] = []
        keys = list(self.key_iterator(pair))
        for key, view in zip(keys, side_by_side(partial(_view, pair), keys), strict=True):
            scan = pair[key]
            found = lost_geometry(scan.affine) + repeated_slices(scan)
            check_size(str(scan.meta.get("filename_or_obj", key)), scan, view)
            if view is not None:
                found += implausible_lungs(view) + turned_scan(view)
                views.append(view)
            for sign in found:
                log.warning("%s: %s; check its header", scan.meta.get("filename_or_obj", key), sign)
            signs += [f"{key} scan: {sign}" for sign in found]
        if len(views) == 2:
            unlike = unlike_lungs(*views) + other_orientation(*views)
            for sign in unlike:
                log.warning("%s: %s; check both headers", pair.get("name", "pair"), sign)
            signs += unlike
        return {**pair, "implausible": signs}


def _view(pair: Mapping[Hashable, Any], key: Hashable) -> LungView | None:
    return view_lungs(pair[key], pair[f"{key}_mask"]) if pair.get(f"{key}_lungs_found", True) else None
