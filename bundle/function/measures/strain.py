"""Strain: how far, and in how many directions, a region is stretched from exhale to inhale."""

from __future__ import annotations

from functools import partial
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from bundle.function.breath import Breath, Values
from bundle.processors import side_by_side

MIN_STRETCH = 0.1  # as of folded voxels
ISOTROPIC = 1e-3  # difference of the stretches below which their pattern is noise
CHUNK = 50_000  # what belongs to it stays in the cache


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
    gradient = torch.from_numpy(np.stack([smooth(one) for one in components])).view(3, 3, -1)  # a volume at a time
    stretches = partial(_stretches, is_inverse=breath.exhale == "moving")
    first, second, third = torch.cat(side_by_side(stretches, gradient.split(CHUNK, dim=2)), dim=1).numpy()
    return Strain(first, second, third, *indices(first, second, third))


def _stretches(matrices: Tensor, *, is_inverse: bool) -> Tensor:
    """Stretches (3, n), descending, float32, of the gradients (3, 3, n) of a transform or of its inverse."""
    values = singular_values(matrices).clamp_min(MIN_STRETCH)
    return (1.0 / values.flip(0) if is_inverse else values).float()


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
    a, b, c = matrices.double().unbind(1)
    ab, bc, ca = (a * b).sum(dim=0), (b * c).sum(dim=0), (c * a).sum(dim=0)
    diagonal = torch.stack([column.square().sum(dim=0) for column in (a, b, c)])
    mean = diagonal.mean(dim=0)
    aa, bb, cc = diagonal.sub_(mean)
    size = ((diagonal.square().sum(dim=0) + 2 * (ab.square() + bc.square() + ca.square())) / 6).sqrt()
    determinant = aa * (bb * cc - bc.square()) - ab * (ab * cc - bc * ca) + ca * (ab * bc - bb * ca)
    angle = (determinant / (2 * size**3).clamp_min(1e-90)).clamp(-1, 1).acos() / 3
    first = mean + 2 * size * angle.cos()
    third = mean + 2 * size * (angle + 2 * torch.pi / 3).cos()
    return torch.stack([first, 3 * mean - first - third, third]).clamp_min(0).sqrt()
