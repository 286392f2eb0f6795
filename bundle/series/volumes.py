"""Volumes of a whole series on the reference's grid: maximum intensity, mean on the reference, mean position."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from monai.data import MetaTensor
from torch import Tensor

from bundle.geometry import WorldTransform
from bundle.io import write_image
from bundle.resample import AIR_HU, warp_volume

FILES = {
    "maximum": "maximum_intensity.nii.gz",
    "mean_on_reference": "mean_on_reference.nii.gz",
    "mean_position": "mean_position.nii.gz",
}
DEFINITIONS = {
    "maximum": "largest HU over the members where they lie, unwarped, as for an internal target volume",
    "mean_on_reference": "mean HU over the members warped to the reference",
    "mean_position": (
        "mean HU over the members warped to the mean position: x -> mean of T_i(x) over all members, the reference "
        "included, inverted (Wolthaus et al. 2008, Med. Phys. 35(9))"
    ),
}


def no_motion() -> WorldTransform:
    """The identity of any world."""
    eye = torch.eye(4, dtype=torch.float64)
    return WorldTransform(torch.zeros(1, 3, 2, 2, 2), eye, eye)


class MeanVolume:
    """Mean of warped scans over those whose field of view holds a voxel; air where none does.

    Args:
        reference: (1, H, W, D) with its affine: the grid.
    """

    def __init__(self, reference: MetaTensor) -> None:
        self.affine = reference.affine
        self.sum = torch.zeros(reference.shape)
        self.count = torch.zeros(reference.shape, dtype=torch.int16)

    def add(self, scan: MetaTensor, transform: WorldTransform) -> None:
        """Add a scan (1, h, w, d), HU, warped by a transform from the grid's world to its own."""
        for rows, part in _warped(scan, transform, self.sum.shape[1:], self.affine):
            self.sum[:, rows] += part.nan_to_num(0.0)
            self.count[:, rows] += part.isfinite()

    def write(self, path: Path) -> None:
        """Write the mean, int16."""
        mean = (self.sum / self.count).where(self.count > 0, AIR_HU)
        write_image(path, mean[0], self.affine, dtype=np.int16)


class MaximumVolume:
    """Maximum of scans where they lie; air outside all of them. Arguments as of `MeanVolume`."""

    def __init__(self, reference: MetaTensor) -> None:
        self.affine = reference.affine
        self.largest = torch.full(reference.shape, float("-inf"))

    def add(self, scan: MetaTensor) -> None:
        """Take a scan (1, h, w, d), HU, into account."""
        for rows, part in _warped(scan, no_motion(), self.largest.shape[1:], self.affine):
            torch.fmax(self.largest[:, rows], part, out=self.largest[:, rows])

    def write(self, path: Path) -> None:
        """Write the maximum, int16."""
        write_image(path, self.largest[0].where(self.largest[0].isfinite(), AIR_HU), self.affine, dtype=np.int16)


def _warped(
    scan: MetaTensor, transform: WorldTransform, shape: torch.Size, affine: Tensor
) -> Iterator[tuple[slice, Tensor]]:
    """Slabs of a warped scan, NaN outside it."""
    return warp_volume(scan.as_tensor().float(), scan.affine, transform, shape, affine, float("nan"))
