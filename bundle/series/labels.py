"""Motion of the labels of a label map on the reference: centroid, volume and surface in every member."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

import numpy as np
import torch
from monai.data import MetaTensor
from scipy import ndimage
from torch import Tensor

from bundle.geometry import WorldTransform, apply_affine, jacobian_determinant
from bundle.io import ImageHeader, check_whole_numbers, read_labels
from bundle.lung import voxel_ml
from bundle.series.amplitude import peak_to_peak
from bundle.series.trajectory import Trajectory

COLUMNS = ("label", "member", "volume_ml", "surface_mean_mm", "surface_p95_mm", "surface_max_mm")


@dataclass(frozen=True)
class LabelMotion:
    """One label in all members.

    Args:
        centroid: of the deformed label: every voxel at its new position, weighted by the Jacobian, its new volume.
        volumes_ml: (M,), sum of the Jacobian times the volume of a voxel.
        surface_mm: (M, S), distance by which each point of the surface has moved from the reference.
        surface_amplitude_mm: (4, S), peak to peak of each point, see `peak_to_peak`. The points are the centres of the
            faces between voxels of the label and others.
    """

    centroid: Trajectory
    volumes_ml: Tensor
    surface_mm: Tensor
    surface_amplitude_mm: Tensor

    def rows(self, members: list[str]) -> list[list[object]]:
        """Rows of `labels.csv`, by `COLUMNS`."""
        table: list[list[object]] = []
        for member, volume, moved in zip(members, self.volumes_ml.tolist(), self.surface_mm, strict=True):
            figures = [volume, float(moved.mean()), float(torch.quantile(moved, 0.95)), float(moved.max())]
            table.append([self.centroid.name, member, *(f"{figure:.4f}" for figure in figures)])
        return table

    @property
    def surface_p95_mm(self) -> Tensor:
        """(4,): 95th percentile over the surface of the peak-to-peak amplitudes."""
        return torch.quantile(self.surface_amplitude_mm, 0.95, dim=1)


def read_label_map(file: str | Path) -> MetaTensor:
    """Read a label map. Raises: ValueError naming the file if its labels are no whole numbers, or none is above 0."""
    labels = read_labels(file)
    check_whole_numbers(labels, file)
    if not (labels.as_tensor() > 0).any():
        raise ValueError(f"{file}: expected labels above 0, found none")
    return labels


def check_inside(file: str, labels: MetaTensor, header: ImageHeader) -> None:
    """Raises: ValueError if labels lie outside the reference."""
    points_mm = apply_affine(labels.affine.double(), (labels[0].as_tensor() > 0).nonzero().double())
    if not header.contains(points_mm).all():
        what = f"{int((~header.contains(points_mm)).sum())} of {len(points_mm)} voxels of labels outside"
        raise ValueError(f"{file}: expected labels inside the reference {header.path}, found {what}")


def label_motions(
    transforms: Mapping[str, WorldTransform], labels: MetaTensor, names: Mapping[int, str] = MappingProxyType({})
) -> list[LabelMotion]:
    """The motion of every label above 0 of a label map (1, H, W, D) in the reference's world, on any grid.

    Args:
        names: of labels; others are named by their value.
    """
    voxels = np.rint(labels[0].as_tensor().numpy()).astype(np.int64)
    motions = []
    for value in np.unique(voxels[voxels > 0]).tolist():
        box = ndimage.find_objects((voxels == value).astype(np.uint8))[0]
        low = [max(part.start - 1, 0) for part in box]  # with a margin, for differences and the faces
        high = [min(part.stop + 1, size) for part, size in zip(box, voxels.shape, strict=True)]
        inside = voxels[tuple(slice(a, b) for a, b in zip(low, high, strict=True))] == value
        affine = labels.affine.double().clone()
        affine[:3, 3] = apply_affine(affine, torch.tensor([low], dtype=torch.float64))[0]
        motions.append(_motion(names.get(value, str(value)), transforms, inside, affine))
    return motions


def _motion(name: str, transforms: Mapping[str, WorldTransform], inside: np.ndarray, affine: Tensor) -> LabelMotion:
    points_mm = apply_affine(affine, torch.from_numpy(np.argwhere(inside)).double())
    surface_mm = apply_affine(affine, torch.from_numpy(face_centres(inside)))
    padded = np.pad(inside, 1)  # so that differences are central at every voxel of the label
    outer = affine.clone()
    outer[:3, 3] = apply_affine(affine, -torch.ones(1, 3, dtype=torch.float64))[0]
    shape = (padded.shape[0], padded.shape[1], padded.shape[2])
    centroids, volumes_ml, moved_mm = [], [], []
    for transform in transforms.values():
        jacobian = jacobian_determinant(transform.displacement_mm(shape, outer), outer)
        weights = jacobian[torch.from_numpy(padded)].double()
        volumes_ml.append(weights.sum() * voxel_ml(affine))
        centroids.append((transform.transform_points_mm(points_mm) * weights[:, None]).sum(dim=0) / weights.sum())
        moved_mm.append(transform.transform_points_mm(surface_mm) - surface_mm)
    shifts_mm = torch.stack(moved_mm)
    return LabelMotion(
        centroid=Trajectory("centroid", name, torch.stack(centroids)),
        volumes_ml=torch.stack(volumes_ml),
        surface_mm=shifts_mm.norm(dim=2),
        surface_amplitude_mm=peak_to_peak(shifts_mm.permute(0, 2, 1)),
    )


def face_centres(inside: np.ndarray) -> np.ndarray:
    """Centres (S, 3), voxels, of the faces between voxels (H, W, D) inside and others."""
    padded = np.pad(inside, 1).astype(np.int8)
    centres = []
    for axis in range(3):
        centre = np.argwhere(np.diff(padded, axis=axis) != 0) - 1.0
        centre[:, axis] += 0.5
        centres.append(centre)
    return np.concatenate(centres)
