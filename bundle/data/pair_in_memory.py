"""A pair from files and arrays in memory, in any mixture."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from monai.data import MetaTensor
from torch import Tensor

from bundle.io import (
    ImageHeader,
    Landmarks,
    check_landmark_pair,
    fit_mask,
    read_image,
    read_landmarks,
    read_mask,
)

Scan = str | Path | np.ndarray | Tensor
Points = str | Path | np.ndarray | Tensor


class PairPart(NamedTuple):
    """One scan and what belongs to it: see `bundle.register_pair`."""

    scan: Scan
    affine: np.ndarray | Tensor | None = None
    series: str | None = None
    mask: Scan | None = None
    landmarks: Points | None = None


def pair_in_memory(*, fixed: PairPart, moving: PairPart, landmark_system: str | None = None) -> dict[str, Any]:
    """Read what is a file and check what is given: see `bundle.data.Pair`.

    Raises: FileNotFoundError, ValueError: what is wrong with which scan, mask or landmarks.
    """
    pair: dict[str, Any] = {"name": _name(fixed.scan), "given": _given(fixed=fixed, moving=moving)}
    landmarks = {}
    for key, part in (("fixed", fixed), ("moving", moving)):
        pair[key] = as_volume(key, part.scan, part.affine, part.series)
        if part.mask is not None:
            pair[f"{key}_mask"] = fit_mask(_mask(f"{key}_mask", part.mask, pair[key]), pair[key])
        if part.landmarks is not None:
            landmarks[key] = _landmarks(part.landmarks, pair[key], landmark_system)
            pair[f"{key}_landmarks"] = landmarks[key].points_mm
    if len(landmarks) == 2:
        check_landmark_pair("fixed_landmarks", landmarks["fixed"], "moving_landmarks", landmarks["moving"])
    if "fixed" in landmarks and landmarks["fixed"].names:
        pair["landmark_names"] = landmarks["fixed"].names_json
    return pair


def _given(**parts: PairPart) -> str:
    """The files of both scans, with absolute paths, as `bundle.data.pairs_to_register.as_given` has them."""
    files = {
        name: os.path.abspath(file)
        for key, part in parts.items()
        for name, file in ((key, part.scan), (f"{key}_mask", part.mask), (f"{key}_landmarks", part.landmarks))
        if isinstance(file, (str, Path))
    }
    return json.dumps(files | {f"{key}_series": part.series for key, part in parts.items() if part.series})


def _name(scan: Scan) -> str:
    name = Path(os.path.abspath(scan)).name.split(".")[0] if isinstance(scan, (str, Path)) else ""
    return name or "pair"


def as_volume(name: str, scan: Scan, affine: np.ndarray | Tensor | None, series: str | None = None) -> MetaTensor:
    """A scan (1, H, W, D), float32, with its affine; `name` for errors."""
    if isinstance(scan, (str, Path)):
        return read_image(scan, series)
    if series:
        raise ValueError(f"{name}: expected a DICOM folder to choose series {series!r} from, got an array")
    if isinstance(scan, MetaTensor):
        name, affine = scan.meta.get("filename_or_obj", name), scan.affine
    if affine is None:
        raise ValueError(f"{name}: an array says nothing about its grid; pass {name}_affine, or a MetaTensor")
    voxels = scan.as_tensor().float() if isinstance(scan, MetaTensor) else torch.as_tensor(scan).float()
    voxels = voxels[None] if voxels.ndim == 3 else voxels
    return MetaTensor(voxels, affine=torch.as_tensor(affine).double(), meta={"filename_or_obj": name})


def _mask(name: str, mask: Scan, scan: MetaTensor) -> MetaTensor:
    """A mask (1, h, w, d) with its affine. Raises: ValueError for an array that does not have the shape of its scan."""
    if isinstance(mask, (str, Path)):
        return read_mask(mask)
    if not isinstance(mask, MetaTensor) and tuple(mask.shape[-3:]) != tuple(scan.shape[1:]):
        raise ValueError(
            f"{name}: expected an array of the shape of its scan, {tuple(scan.shape[1:])}, found {tuple(mask.shape)}; "
            "pass a MetaTensor for a mask on another grid"
        )
    return as_volume(name, mask, scan.affine)


def _landmarks(points: Points, scan: MetaTensor, system: str | None) -> Landmarks:
    if isinstance(points, (str, Path)):
        return read_landmarks(points, ImageHeader.of(scan), system=system)
    return Landmarks(torch.as_tensor(points).double())
