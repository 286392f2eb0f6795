"""Simulated inhale and exhale scans of a patient with their displacement fields."""

from __future__ import annotations

from collections.abc import Callable

import torch
from monai.data import MetaTensor
from monai.transforms import Orientation
from scipy.spatial.transform import Rotation
from torch import Tensor

from bundle.geometry import affine_columns, apply_affine, identity_vox, sample_vox, spacing_mm
from bundle.synthetic.breath.breathing import Breathing, tubes_of
from bundle.synthetic.breath.motion import MotionParameters
from bundle.synthetic.breath.scan import (
    compress,
    mean_over_slices,
    subslice_count,
    subslices,
    without_lungs,
    without_noise,
)


class BreathingPatient:
    """The scan at inhale and its breath; points are (3, h, w, d) mm in the patient frame.

    Args:
        scan, mask: (1, H, W, D), HU and lungs at inhale, returned by `to_ras`.
        breathing: `breathe(mask, ...)`.

    In the methods, `position` (4, 4) float64 is the rigid map of the exhaled patient (`position_of`); `shape` and
    `affine` (4, 4), voxels to patient frame, describe the output grid.
    """

    def __init__(self, scan: MetaTensor, mask: MetaTensor, breathing: Breathing) -> None:
        self.step_mm = spacing_mm(scan.affine.double())
        self.size_mm = self.step_mm * torch.tensor(scan.shape[1:])
        self.breathing = breathing
        self.hu = without_noise(scan)
        lungs = mask[0].as_tensor().float()
        self.stack = torch.stack([self.hu, lungs, tubes_of(lungs)])  # sampled together
        self.wall = without_lungs(self.hu, lungs)  # fills the space uncovered by the sliding lungs

    def exhale_limits(self, lungs_mm: Tensor, position: Tensor) -> tuple[Tensor, Tensor]:
        """Positions at exhale of the scan's lowest and highest faces along R, A, S, (3,) mm: the limits of the data.

        Args:
            lungs_mm: (N, 3) lung points.
        """
        limits = []
        for edge_mm in (torch.zeros(3), self.size_mm.float()):
            faces = lungs_mm.mean(dim=0) + torch.diag(edge_mm - lungs_mm.mean(dim=0))
            ends = lungs_mm[::50].clone()  # columns through the lungs represent the face above or below them
            ends[:, 2] = edge_mm[2]
            faces[2] = at_points(self.breathing.tubes.exhale, ends).mean(dim=0)
            limits.append(apply_affine(position, faces.double()).diagonal())
        return limits[0], limits[1]

    def read(self, values: Tensor, points_mm: Tensor) -> Tensor:
        """Sample a stack (C, H, W, D) on the scan's grid trilinearly: (C, h, w, d)."""
        vox = points_mm / self.step_mm.to(points_mm).view(3, 1, 1, 1)
        return sample_vox(values[None], vox[None])[0]

    def inhale(self, shape: tuple[int, int, int], affine: Tensor) -> tuple[Tensor, Tensor]:
        """HU and mask (H, W, D) at inhale."""
        count = subslice_count(affine)
        points = subslices(shape, affine, count)
        hu, lungs = mean_over_slices(self.read(self.stack[:2], points), count)
        return hu, lungs >= 0.5

    def exhale(self, shape: tuple[int, int, int], affine: Tensor, position: Tensor) -> tuple[Tensor, Tensor]:
        """HU and mask (H, W, D) at exhale, with the patient in another position."""
        count = subslice_count(affine)
        points = map_points(torch.linalg.inv(position), subslices(shape, affine, count))
        before = self.breathing.tubes.inhale(points)
        hu, lungs, tubes = self.read(self.stack, before)
        hu = torch.where(lungs >= 0.5, compress(hu, self.breathing.compression_at(points)), hu)
        is_wall = tubes < 0.5
        behind = self.breathing.wall.inhale(points[:, is_wall][:, :, None, None])
        hu[is_wall] = self.read(self.wall[None], behind)[0, :, 0, 0]
        return mean_over_slices(hu, count), mean_over_slices(lungs, count) >= 0.5

    def inhale_displacement(self, shape: tuple[int, int, int], affine: Tensor, position: Tensor) -> Tensor:
        """Displacement T(x) - x (3, H, W, D), patient mm, on a grid of the inhale scan."""
        points = map_points(affine, _voxels(shape))
        in_tube = self.read(self.stack[2:], points)[0] >= 0.5
        after = torch.where(in_tube, self.breathing.tubes.exhale(points), self.breathing.wall.exhale(points))
        return map_points(position, after) - points

    def exhale_displacement(self, shape: tuple[int, int, int], affine: Tensor, position: Tensor) -> Tensor:
        """Inverse displacement (3, H, W, D), patient mm, on a grid of the exhale scan."""
        there = map_points(affine, _voxels(shape))
        points = map_points(torch.linalg.inv(position), there)
        before = self.breathing.tubes.inhale(points)
        in_tube = self.read(self.stack[2:], before)[0] >= 0.5
        return torch.where(in_tube, before, self.breathing.wall.inhale(points)) - there


def to_ras(scan: MetaTensor, mask: MetaTensor) -> tuple[MetaTensor, MetaTensor]:
    """Reorient scan and mask to axes along R, A, S.

    Raises: ValueError if the mask is empty or on another grid.
    """
    if mask.shape != scan.shape or not torch.allclose(mask.affine, scan.affine, atol=1e-3):
        raise ValueError(f"mask: expected the grid of the scan, {tuple(scan.shape)}, got {tuple(mask.shape)}")
    if not mask.any():
        raise ValueError("mask: expected lungs, got no voxel above 0")
    orient = Orientation(axcodes="RAS", labels=None)
    return orient(scan), orient(mask)


def position_of(parameters: MotionParameters, centre_mm: Tensor) -> Tensor:
    """Rigid map (4, 4) float64 of the patient to the position at exhale, with rotation about `centre_mm` (3,)."""
    rigid = torch.eye(4, dtype=torch.float64)
    turn = Rotation.from_euler("xyz", parameters.rotation_deg, degrees=True).as_matrix()
    rigid[:3, :3] = torch.from_numpy(turn)
    rigid[:3, 3] = centre_mm - rigid[:3, :3] @ centre_mm + torch.tensor(parameters.shift_mm, dtype=torch.float64)
    return rigid


def map_points(affine: Tensor, points: Tensor) -> Tensor:
    """Map points (3, h, w, d) through a (4, 4) affine."""
    return affine_columns(affine, points.flatten(1)).view_as(points)


def _voxels(shape: tuple[int, int, int]) -> Tensor:
    return identity_vox(list(shape), torch.empty(0))[0]


def at_points(move: Callable[[Tensor], Tensor], points_mm: Tensor) -> Tensor:
    """Apply a map of (3, h, w, d) to points (N, 3)."""
    return move(points_mm.T[:, :, None, None])[:, :, 0, 0].T
