"""Both scans of a breath on one grid: what every map is computed from."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache, cached_property
from typing import Literal

import numpy as np
import torch
from monai.data import MetaTensor
from numpy.typing import NDArray
from torch import Tensor

from bundle.function.measures.air import air_fraction, density_g_per_l
from bundle.function.measures.gradient import LungGradient, lung_gradient
from bundle.function.measures.smoothing import LungSmoother
from bundle.geometry import WorldTransform, apply_affine, spacing_mm
from bundle.lung import voxel_ml
from bundle.lung.morphology import box_of
from bundle.resample import AIR_HU, warp_volume

Phase = Literal["fixed", "moving"]
Values = NDArray[np.float32]
MARGIN_VOX = 2  # of the box around the lungs, for the neighbourhoods of filters
Quantity = Literal["jacobian", "inhale air", "exhale air", "inhale density", "exhale density"]
JACOBIAN_RANGE = (0.1, 10.0)  # folded and torn voxels have no volume ratio


@dataclass(frozen=True, eq=False)
class Breath:
    """Inhale and exhale on a box of the fixed scan's grid that holds the lungs.

    Args:
        inhale_hu, exhale_hu: (h, w, d); the moving one of them is interpolated trilinearly at T(x), air outside.
        jacobian: (h, w, d), volume of the moving scan per volume of the fixed one, as computed: not clipped.
        inside: (h, w, d), the fixed lung mask.
        affine: (4, 4), voxels of the box to RAS mm.
        start: first voxel of the box on the fixed grid.
        shape: (H, W, D) of the fixed grid.
        exhale: which of the two scans is exhale.
        gradient: of T, fixed to moving world.
    """

    inhale_hu: Values
    exhale_hu: Values
    jacobian: Values
    inside: NDArray[np.bool_]
    affine: Tensor
    start: tuple[int, int, int]
    shape: tuple[int, int, int]
    exhale: Phase
    gradient: LungGradient

    @cached_property
    def spacing_mm(self) -> tuple[float, float, float]:
        """Voxel size."""
        x, y, z = spacing_mm(self.affine).tolist()
        return (x, y, z)

    @cached_property
    def voxel_ml(self) -> float:
        """Volume of a voxel of the fixed grid."""
        return voxel_ml(self.affine)

    @cached_property
    def inhale_ml(self) -> Values:
        """Inhale volume of what lies in each lung voxel (n,)."""
        return self._volumes_ml(is_fixed=self.exhale == "moving")

    @cached_property
    def exhale_ml(self) -> Values:
        """Exhale volume of what lies in each lung voxel (n,)."""
        return self._volumes_ml(is_fixed=self.exhale == "fixed")

    @cache  # noqa: B019 - a breath lives as long as its maps are computed
    def smoother(self, sigma_mm: float) -> LungSmoother:
        """Smoothing within the lungs."""
        return LungSmoother(self.inside, self.spacing_mm, sigma_mm)

    @cache  # noqa: B019
    def smoothed(self, quantity: Quantity, sigma_mm: float) -> Values:
        """A smoothed quantity (n,) of the lung voxels, computed once: Jacobian, air fraction or density (g/l)."""
        scan, _, kind = quantity.partition(" ")
        if quantity == "jacobian":
            return self.smoother(sigma_mm)(self.jacobian)
        hu = self.inhale_hu if scan == "inhale" else self.exhale_hu
        return self.smoother(sigma_mm)(air_fraction(hu) if kind == "air" else density_g_per_l(hu))

    def volume_ratio(self, jacobian: Values) -> Values:
        """Inhale volume per exhale volume, of determinants of the transform clipped to `JACOBIAN_RANGE`."""
        clipped = np.clip(jacobian, *JACOBIAN_RANGE)
        return clipped if self.exhale == "fixed" else np.float32(1) / clipped

    def points_mm(self) -> Tensor:
        """Positions (n, 3) of the lung voxels, RAS mm, float64."""
        return apply_affine(self.affine.double(), torch.from_numpy(np.argwhere(self.inside)).double())

    def on_fixed_grid(self, values: NDArray, background: float) -> NDArray:
        """Values (n,) of the lung voxels as a volume (H, W, D) of the fixed grid; the first axis is the fastest one."""
        volume = np.full(self.shape, background, values.dtype, order="F")
        box = tuple(slice(low, low + size) for low, size in zip(self.start, self.inside.shape, strict=True))
        volume[box][self.inside] = values
        return volume

    def _volumes_ml(self, *, is_fixed: bool) -> Values:
        own = np.full(int(self.inside.sum()), self.voxel_ml, np.float32)
        return own if is_fixed else own * np.maximum(self.jacobian[self.inside], 0)


def make_breath(
    fixed: MetaTensor, moving: MetaTensor, fixed_mask: MetaTensor, transform: WorldTransform, exhale: Phase
) -> Breath:
    """Bring both scans to the box of the fixed grid that holds the lungs.

    Args:
        fixed, moving: (1, H, W, D) and (1, h, w, d), HU, each on its own grid.
        fixed_mask: (1, H, W, D), lungs of the fixed scan.
        transform: fixed to moving world.
        exhale: which scan is exhale, see `find_exhale`.
    Raises: ValueError if the mask is empty.
    """
    mask = fixed_mask.as_tensor() > 0
    if not mask.any():
        raise ValueError("fixed_mask: the mask holds no voxel above 0")
    box = box_of(mask[0].numpy(), MARGIN_VOX)
    inside = np.ascontiguousarray(mask[0][box].numpy())
    low, shape = [side.start for side in box], list(inside.shape)
    affine = fixed.affine.double().clone()
    affine[:3, 3] = apply_affine(affine, torch.tensor([low], dtype=torch.float64))[0]
    moved = warp_volume(moving.as_tensor().float(), moving.affine.double(), transform, shape, affine, AIR_HU)
    scans = {"fixed": fixed.as_tensor()[0][box].float().numpy(), "moving": _collect(moved, shape)}
    gradient = lung_gradient(transform, inside, affine)
    return Breath(
        inhale_hu=scans["moving" if exhale == "fixed" else "fixed"],
        exhale_hu=scans[exhale],
        jacobian=next(gradient.on_grid(gradient.determinant[None], inside.shape, affine)),
        inside=inside,
        affine=affine,
        start=(low[0], low[1], low[2]),
        shape=(mask.shape[1], mask.shape[2], mask.shape[3]),
        exhale=exhale,
        gradient=gradient,
    )


def _collect(slabs: Iterable[tuple[slice, Tensor]], shape: list[int]) -> Values:
    """Slabs (1, h, W, D) as one volume (H, W, D)."""
    volume = np.empty(shape, np.float32)
    for rows, part in slabs:
        volume[rows] = part[0].numpy()
    return volume
