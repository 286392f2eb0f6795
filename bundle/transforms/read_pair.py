"""Load what belongs to a pair beside its scans: landmarks and a user's own initial alignment."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from pathlib import Path
from typing import Any

from monai.config import KeysCollection
from monai.transforms import MapTransform

from bundle.io import ImageHeader, read_landmarks_mm, read_linear_transform


class ReadLandmarksd(MapTransform):
    """Replace the landmark files `<key>_landmarks` of loaded scans by points (N, 3), float64, RAS mm.

    Points and pairs without landmarks pass. Raises: see `bundle.io.read_landmarks_mm`.
    """

    def __init__(self, keys: KeysCollection = ("fixed", "moving")) -> None:
        super().__init__(keys)

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        pair = dict(data)
        for key in self.key_iterator(pair):
            path = pair.get(f"{key}_landmarks")
            if isinstance(path, (str, Path)):
                pair[f"{key}_landmarks"] = read_landmarks_mm(path, ImageHeader.of(pair[key]))
        return pair


class ReadInitialTransformd(MapTransform):
    """Read the ITK transform file of a pair, fixed to moving, into `initial_affine` (4, 4), RAS mm.

    Pairs without one pass. Raises: see `bundle.io.read_linear_transform`.
    """

    def __init__(self, keys: KeysCollection = "initial_transform") -> None:
        super().__init__(keys, allow_missing_keys=True)

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        pair = dict(data)
        for key in self.key_iterator(pair):
            pair["initial_affine"] = read_linear_transform(pair[key])
        return pair
