"""Reject scans that cannot be registered."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

from monai.transforms import MapTransform

from bundle.io import check_scan


class CheckScand(MapTransform):
    """Check loaded scans (1, H, W, D), from any reader; the data are unchanged.

    Raises: ValueError naming the file and the problem: see `bundle.io.check_scan`.
    """

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        pair = dict(data)
        for key in self.key_iterator(pair):
            check_scan(pair[key])
        return pair
