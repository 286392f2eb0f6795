"""Identify scans by their content."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

from monai.transforms import MapTransform

from bundle.io import content_sha256
from bundle.processors import side_by_side


class ContentHashd(MapTransform):
    """Add `<key>_sha256` of loaded scans (1, H, W, D): recipes name training pairs by it. See `content_sha256`."""

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        pair = dict(data)
        keys = list(self.key_iterator(pair))
        hashes = side_by_side(content_sha256, [pair[key] for key in keys])
        return pair | {f"{key}_sha256": value for key, value in zip(keys, hashes, strict=True)}
