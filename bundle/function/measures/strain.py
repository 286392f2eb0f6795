"""Strain: how far, and in how many directions, a region is stretched from exhale to inhale."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from bundle.function.breath import Breath, Values
from bundle.processors import side_by_side

MIN_STRETCH = 0.1  # as of folded voxels
ISOTROPIC = 1e-3  # difference of the stretches below which their pattern is noise
CHUNK = 500_000


class Strain(NamedTuple):
    """Each (n,), of the lung voxels.

    Args:
        stretch1, stretch2, stretch3: principal stretches of the right stretch tensor, exhale to inhale, in descending
            order: length at inhale per length at exhale; their product is the volume ratio.
        adi: anisotropic deformation index, 0 for a uniform expansion.
        sri: slab-rod index, 0 (slab: stretched in two directions) to 1 (rod: in one); NaN for a uniform expansion.
    """

    stretch1: Values
    stretch2: Values
    stretch3: Values
    adi: Values
    sri: Values


def strain(breath: Breath, sigma_mm: float) -> Strain:
    """Principal stretches and what Amelon et al. derive from them; the gradient of the transform is smoothed before.

    Source: Amelon et al. 2011, J. Biomech. 44(13).
    """
    smooth = breath.smoother(sigma_mm)
    components = breath.gradient.on_grid(breath.gradient.matrices.flatten(0, 1), breath.inside.shape, breath.affine)
    gradient = torch.from_numpy(np.stack(side_by_side(smooth, components))).view(3, 3, -1)
    parts = side_by_side(singular_values, gradient.split(CHUNK, dim=2))
    values = torch.cat(parts, dim=1).clamp_min(MIN_STRETCH)
    if breath.exhale == "moving":  # of the inverse, inhale to exhale
        values = 1.0 / values.flip(0)
    first, second, third = values.float().numpy()
    return Strain(first, second, third, *indices(first, second, third))


def indices(first: Values, second: Values, third: Values) -> tuple[Values, Values]:
    """Anisotropic deformation index and slab-rod index of stretches in descending order.

    ADI = sqrt(((l1 - l2) / l2)^2 + ((l2 - l3) / l3)^2), SRI = 2 / pi atan(l3 (l1 - l2) / (l2 (l2 - l3))).
    """
    adi = np.hypot((first - second) / second, (second - third) / third)
    sri = np.arctan2(third * (first - second), second * (second - third)) * np.float32(2 / np.pi)
    return adi, np.where(first - third < ISOTROPIC, np.float32(np.nan), sri)


def singular_values(matrices: Tensor) -> Tensor:
    """Singular values (3, n), descending, float64, of matrices (3, 3, n): roots of the eigenvalues of F^T F.

    In closed form (Smith 1961, Commun. ACM 4(4)), for millions of matrices.
    """
    squares = torch.einsum("abn,acn->bcn", matrices.double(), matrices.double())
    mean = (squares[0, 0] + squares[1, 1] + squares[2, 2]) / 3
    shifted = squares - mean * torch.eye(3, dtype=torch.float64)[..., None]
    size = (shifted.square().sum(dim=(0, 1)) / 6).sqrt()
    unit = shifted / size.clamp_min(1e-30)
    determinant = (
        unit[0, 0] * (unit[1, 1] * unit[2, 2] - unit[1, 2] * unit[2, 1])
        - unit[0, 1] * (unit[1, 0] * unit[2, 2] - unit[1, 2] * unit[2, 0])
        + unit[0, 2] * (unit[1, 0] * unit[2, 1] - unit[1, 1] * unit[2, 0])
    )
    angle = (determinant / 2).clamp(-1, 1).acos() / 3
    first = mean + 2 * size * angle.cos()
    third = mean + 2 * size * (angle + 2 * torch.pi / 3).cos()
    return torch.stack([first, 3 * mean - first - third, third]).clamp_min(0).sqrt()
