"""Axial, coronal and sagittal slices of a scan of any orientation, in radiological convention."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import nibabel
import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.image import AxesImage
from matplotlib.patheffects import withStroke
from torch import Tensor

from bundle.geometry import apply_affine

WINDOW_HU = (-1000.0, 200.0)  # air to soft tissue: shows vessels, airways and chest wall
# labels are readable on black and white
OUTLINED: dict[str, Any] = {"path_effects": [withStroke(linewidth=2, foreground="black")]}


@dataclass(frozen=True)
class Plane:
    """A family of parallel slices of a canonical (R, A, S) array.

    Args:
        name: radiological name.
        normal: axis normal to the slices; the other two, in order, are width and height of the picture.
        labels: body side at the left, right, bottom and top of the picture (patient's right on the left).
    """

    name: str
    normal: int
    labels: tuple[str, str, str, str]

    @property
    def in_plane(self) -> tuple[int, int]:
        """Axes along width and height of the picture."""
        first, second = [axis for axis in range(3) if axis != self.normal]
        return first, second


PLANES = (
    Plane("axial", 2, ("R", "L", "P", "A")),
    Plane("coronal", 1, ("R", "L", "I", "S")),
    Plane("sagittal", 0, ("A", "P", "I", "S")),
)


class CanonicalView:
    """View of volumes of one grid with axes closest to right, anterior and superior, without copies.

    Args:
        affine: (4, 4), voxel to RAS mm; may be oblique.
    """

    def __init__(self, affine: Tensor) -> None:
        matrix = affine.detach().cpu().double().numpy()
        self.orientation = nibabel.orientations.io_orientation(matrix)
        self.order: list[int] = np.argsort(self.orientation[:, 0]).tolist()  # voxel axis behind each canonical axis
        columns = matrix[:3, :3][:, self.order] * self.orientation[self.order, 1]
        self.spacing_mm: np.ndarray = np.linalg.norm(columns, axis=0)
        self.directions: np.ndarray = columns / self.spacing_mm

    def volume(self, values: Tensor) -> np.ndarray:
        """View of (H, W, D) with canonical axes."""
        return nibabel.orientations.apply_orientation(values.detach().cpu().numpy(), self.orientation)

    def extents_mm(self, shape: tuple[int, int, int]) -> list[float]:
        """Size of a grid of `shape` voxels along the canonical axes, mm."""
        return [float(shape[axis] * step) for axis, step in zip(self.order, self.spacing_mm, strict=True)]

    def slice_of(self, values: Tensor, plane: Plane, index: int) -> np.ndarray:
        """Slice `index` along the canonical axis of (H, W, D), as (width, height)."""
        place: list[slice | int] = [slice(None)] * 3
        place[plane.normal] = index
        return self.volume(values)[tuple(place)]  # np.take would copy the volume first

    def vectors_of(self, displacement_mm: Tensor, plane: Plane, index: int) -> np.ndarray:
        """Slice of a field (3, H, W, D), RAS mm, as components along the canonical grid axes, (3, width, height)."""
        world = np.stack([self.slice_of(component, plane, index) for component in displacement_mm])
        return np.einsum("wa,whv->ahv", self.directions, world)

    def grid_of(
        self, plane: Plane, index: int, shape: tuple[int, int, int], affine: Tensor
    ) -> tuple[tuple[int, int, int], Tensor]:
        """Shape and affine (4, 4) of the one slice `index` of a grid of `shape` voxels and `affine`."""
        axis = self.order[plane.normal]
        first = torch.zeros(3, dtype=torch.float64)
        first[axis] = index if self.orientation[axis, 1] > 0 else shape[axis] - 1 - index
        moved = affine.double().cpu().clone()
        moved[:3, 3] = apply_affine(moved, first[None])[0]
        height, width, depth = [1 if number == axis else size for number, size in enumerate(shape)]
        return (height, width, depth), moved

    def widest_slices(self, mask: Tensor | None, shape: tuple[int, int, int]) -> dict[str, int]:
        """Index per plane of the slice with the largest mask area (the centre may miss the lungs); else the middle."""
        if mask is None or not bool(mask.any()):
            return {plane.name: shape[self.order[plane.normal]] // 2 for plane in PLANES}
        inside = self.volume(mask) > 0
        areas = {plane.name: inside.sum(axis=plane.in_plane) for plane in PLANES}
        widest = {name: np.flatnonzero(area == area.max()) for name, area in areas.items()}
        return {name: int(indices[len(indices) // 2]) for name, indices in widest.items()}  # of equal areas the middle

    def show(self, axes: Axes, picture: np.ndarray, plane: Plane, **options: Any) -> AxesImage:
        """Draw a slice (width, height[, RGB]) in mm, right and anterior on the left, with labelled sides.

        `options` are passed to `imshow`; returns its image.
        """
        width, height = plane.in_plane
        extent = (0.0, picture.shape[0] * self.spacing_mm[width], 0.0, picture.shape[1] * self.spacing_mm[height])
        image = axes.imshow(picture.swapaxes(0, 1), origin="lower", extent=extent, aspect="equal", **options)
        axes.invert_xaxis()
        axes.set_axis_off()
        places = ((0.02, 0.5), (0.98, 0.5), (0.5, 0.02), (0.5, 0.98))
        aligned = (("left", "center"), ("right", "center"), ("center", "bottom"), ("center", "top"))
        for label, (x, y), (ha, va) in zip(plane.labels, places, aligned, strict=True):
            axes.text(x, y, label, transform=axes.transAxes, ha=ha, va=va, color="white", fontsize=8, **OUTLINED)
        return image


def window(picture_hu: np.ndarray) -> np.ndarray:
    """Map HU to grey levels in [0, 1] by `WINDOW_HU`."""
    low, high = WINDOW_HU
    return np.clip((picture_hu - low) / (high - low), 0.0, 1.0)
