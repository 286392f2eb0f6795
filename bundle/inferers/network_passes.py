"""Apply the network several times to a pair: warp the moving scan, predict what is left, compose."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from monai.networks.blocks.warp import DVF2DDF
from torch import Tensor

from bundle.geometry import resize_ddf, warp
from bundle.losses import LocalCrossCorrelationLoss
from bundle.transforms.network_grid import SIDE_MULTIPLE

SPACING_FACTOR = 0.77  # from the voxel size of one pass to the next: what is left is smaller
LEAST_GAIN = 5e-4  # of the LNCC, squared, by a further pass; less is noise, and rounding would decide
FINEST = 0.8  # of the grid's voxels: the network estimates at a quarter of the resolution
SQUARINGS = 4  # of the velocity field: steps of 1/16 of it
ROUNDING = 1e-6  # halves are rounded up in spite of errors of the affine: the finer of two equally close grids
Network = Callable[[Tensor], Tensor]


class NetworkPasses:
    """Predict the ddf of a pair in one or more passes of a registration network.

    The first pass sees voxels of `network_spacing_mm`. Each further pass sees smaller ones, at least 0.8 times those of
    the grid, and the moving scan warped by the ddf so far. A further pass that hardly raises the LNCC of the scans is
    left out, and ends the passes.

    Args:
        num_passes: at most.
        antisymmetric: take half the difference of both directions, (f(fixed, moving) - f(moving, fixed)) / 2, as a
            stationary velocity field, whose exponential is the pass's ddf. Whatever the network answers, identical
            scans then give zero, and scans in reverse order the inverse of the first pass. Doubles the time.
        network_spacing_mm: voxel size of the first pass; None for the grid's own in all passes.
        amp: autocast the network.
    Raises: ValueError for anything but a whole number of passes above 0.
    Source of the exponential: scaling and squaring, Arsigny et al. 2006, by `monai.networks.blocks.DVF2DDF`.
    """

    def __init__(
        self,
        *,
        num_passes: int = 1,
        antisymmetric: bool = False,
        network_spacing_mm: float | None = None,
        amp: bool = False,
    ) -> None:
        if type(num_passes) is not int or num_passes < 1:
            raise ValueError(f"num_passes: expected a whole number above 0, got {num_passes!r}")
        self.num_passes = num_passes
        self.antisymmetric = antisymmetric
        self.network_spacing_mm = network_spacing_mm
        self.amp = amp
        self.similarity = LocalCrossCorrelationLoss(window_vox=5, stride_vox=2)

    def __call__(
        self, network: Network, image: Tensor, spacing_mm: Sequence[float] | None, mask: Tensor | None = None
    ) -> Tensor:
        """The ddf (1, 3, H, W, D), float32, in voxels of the grid.

        Args:
            network: maps (1, 2, h, w, d), sides multiples of 16, to its ddf.
            image: (1, 2, H, W, D), fixed and moving.
            spacing_mm: voxel size (3) of their grid; needed with `network_spacing_mm`.
            mask: (1, 1, H, W, D), where the LNCC is computed; the whole image if None.
        """
        fixed, moving = image[:, :1], image[:, 1:]
        ddf_vox = self._predict(network, image, self.sides(image, spacing_mm, 0))
        if self.num_passes == 1:
            return ddf_vox
        warped = warp(moving.float(), ddf_vox)
        best = self.similarity(warped, fixed, mask)
        for number in range(1, self.num_passes):
            seen = torch.cat([fixed.float(), warped], dim=1)
            remaining = self._predict(network, seen, self.sides(image, spacing_mm, number))
            candidate = remaining.add_(warp(ddf_vox, remaining))
            warped = warp(moving.float(), candidate)
            loss = self.similarity(warped, fixed, mask)
            if best - loss < LEAST_GAIN:
                break
            ddf_vox, best = candidate, loss
        return ddf_vox

    def _predict(self, network: Network, image: Tensor, sides: list[int]) -> Tensor:
        """The ddf of one pass, on the grid of `image`, from a network that sees `sides` voxels."""
        seen = resized(image, sides)
        with torch.autocast(image.device.type, enabled=self.amp):
            ddf_vox = network(seen).float()
            if self.antisymmetric:
                ddf_vox = (ddf_vox - network(seen.flip(1)).float()).div_(2)
        if self.antisymmetric:
            ddf_vox = DVF2DDF(num_steps=SQUARINGS, padding_mode="border")(ddf_vox)
        return ddf_vox if seen is image else resize_ddf(ddf_vox, list(image.shape[2:]))

    def sides(self, image: Tensor, spacing_mm: Sequence[float] | None, number: int) -> list[int]:
        """Sides of what the network sees in pass `number`, from 0."""
        pass_mm = self.network_spacing_mm
        if pass_mm is not None and number > 0 and spacing_mm is not None:
            pass_mm = min(pass_mm, max(pass_mm * SPACING_FACTOR**number, FINEST * max(spacing_mm)))
        return network_sides(list(image.shape[2:]), spacing_mm, pass_mm)


def network_sides(sides: list[int], spacing_mm: Sequence[float] | None, network_spacing_mm: float | None) -> list[int]:
    """Sides of the network's input, multiples of 16: the box of a grid in voxels of about `network_spacing_mm`.

    None for either voxel size gives the grid's own sides.
    """
    if network_spacing_mm is None or spacing_mm is None:
        return sides
    step_mm = SIDE_MULTIPLE * network_spacing_mm
    steps = (side * size / step_mm for side, size in zip(sides, spacing_mm, strict=True))
    return [SIDE_MULTIPLE * max(math.floor(number + 0.5 + ROUNDING), 1) for number in steps]


def resized(volume: Tensor, sides: list[int]) -> Tensor:
    """A volume (B, C, H, W, D) on a grid of `sides` voxels that spans the same box.

    Averaged along the axes where it is coarser, trilinear along those where it is finer.
    """
    own = list(volume.shape[2:])
    coarser = [min(pair) for pair in zip(own, sides, strict=True)]
    if coarser != own:
        volume = F.interpolate(volume, size=coarser, mode="area")
    return volume if coarser == sides else F.interpolate(volume, size=sides, mode="trilinear")
