"""Read the landmarks of a pair and map them from the fixed to the moving scan."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from pathlib import Path
from typing import Any

import torch
from monai.config import KeysCollection
from monai.transforms import MapTransform, Transform

from bundle.io import ImageHeader, read_landmarks
from bundle.transforms.world_transform import world_transform


class ReadLandmarksd(MapTransform):
    """Replace the landmark files `<key>_landmarks` of loaded scans with points (N, 3), float64, RAS mm.

    Adds `landmark_names` if the fixed file has any. Points and pairs without landmarks are unchanged.

    Raises: see `bundle.io.read_landmarks`; `landmark_system` of the pair is its `system`.
    """

    def __init__(self, keys: KeysCollection = ("fixed", "moving")) -> None:
        super().__init__(keys)

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        pair = dict(data)
        for key in self.key_iterator(pair):
            path = pair.get(f"{key}_landmarks")
            if isinstance(path, (str, Path)):
                landmarks = read_landmarks(path, ImageHeader.of(pair[key]), system=pair.get("landmark_system"))
                pair[f"{key}_landmarks"] = landmarks.points_mm
                if key == "fixed" and landmarks.names:
                    pair["landmark_names"] = landmarks.names_json
        return pair


class MapLandmarksd(Transform):
    """Map the fixed landmarks to the moving scan.

    Adds `mapped_landmarks` and, with the initial alignment only, `aligned_landmarks`, (N, 3) float64 RAS mm. Pairs
    without fixed landmarks are unchanged.
    """

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        pair = dict(data)
        if "fixed_landmarks" in pair:
            transform = world_transform(pair)
            points = torch.as_tensor(pair["fixed_landmarks"]).cpu()
            pair["mapped_landmarks"] = transform.transform_points_mm(points)
            pair["aligned_landmarks"] = transform.affine_only.transform_points_mm(points)
        return pair
