"""One resolution level of the instance optimisation."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from bundle.geometry import sample_points
from bundle.losses import RegistrationLoss

SLOPE_STEP_VOX = 2  # the regularisation takes differences over 2 voxels: the splines are that smooth


class OptimizationLevel:
    """A pair on the grid of one level, cropped to a box around its region, and the loss of a ddf in the box.

    Attributes:
        weights: (1, 1, h, w, d), the region in the box.
        box: slices of the whole grid, for any (B, C, H, W, D).
        inside: (N,) flat indices into the box, ascending, of the voxels that the similarity needs.

    Args:
        loss: see `InstanceOptimization`.
        image: (1, 2, H, W, D), fixed and moving.
        region: (1, 1, H, W, D), above 0 where they are compared.
    """

    def __init__(self, loss: RegistrationLoss, image: Tensor, region: Tensor) -> None:
        self.loss = loss
        window_vox: Any = loss.similarity.window_vox
        needed = dilate(region > 0, [window_vox] * 3)[0, 0] > 0
        extents = [needed.any(dim=first).any(dim=second).nonzero() for first, second in ((1, 1), (0, 1), (0, 0))]
        # one voxel more at each side: room for differences beside a region one voxel thick
        low = [max(int(extent[0]) - 1, 0) for extent in extents]
        high = [min(int(extent[-1]) + 2, side) for extent, side in zip(extents, needed.shape, strict=True)]
        self.box = (slice(None), slice(None), *(slice(*ends) for ends in zip(low, high, strict=True)))
        self.inside = needed[self.box[2:]].flatten().nonzero()[:, 0]
        self.weights = region[self.box].contiguous()
        self._fixed = image[self.box][:, :1].contiguous()
        self._moving = image[0, 1:]
        self._low_vox = image.new_tensor(low)

    def matches_vox(self, ddf_vox: Tensor) -> Tensor:
        """Where the voxels inside lie in the moving scan, (N, 3), by a ddf (1, 3, h, w, d) in the box."""
        sides = ddf_vox.shape[2:]
        places = [(self.inside // (sides[1] * sides[2])), (self.inside // sides[2]) % sides[1], self.inside % sides[2]]
        matches = torch.stack(places, dim=1).to(ddf_vox).add_(self._low_vox)
        return matches.add_(ddf_vox[0].flatten(1).index_select(1, self.inside).T)

    def evaluate(self, matches_vox: Tensor, slopes_vox: Tensor, offset: Sequence[int] = (0, 0, 0)) -> Tensor:
        """The loss of a ddf in the box.

        Args:
            matches_vox: (N, 3), see `matches_vox`.
            slopes_vox: (1, 3, h, w, d), the ddf at every `SLOPE_STEP_VOX`-th voxel.
            offset: the first window along each axis, voxels.
        """
        values = sample_points(self._moving, matches_vox.T)
        # The other voxels keep the fixed scan's values: no window inside the region reaches them.
        warped = self._fixed.flatten().index_copy(0, self.inside, values[0]).view_as(self._fixed)
        h, w, d = offset
        first, second, mask = (volume[..., h:, w:, d:] for volume in (warped, self._fixed, self.weights))
        similarity = self.loss.similarity(first, second, mask=mask)
        return similarity + self.loss.weight * self.loss.regularization(slopes_vox / SLOPE_STEP_VOX)


def every_second(ddf_vox: Tensor) -> Tensor:
    """A ddf (1, 3, h, w, d) at every `SLOPE_STEP_VOX`-th voxel."""
    return ddf_vox[..., ::SLOPE_STEP_VOX, ::SLOPE_STEP_VOX, ::SLOPE_STEP_VOX].contiguous()


def dilate(mask: Tensor, sides_vox: Sequence[int]) -> Tensor:
    """Dilate a mask (B, 1, H, W, D) with a box of odd sides, axis by axis."""
    mask = mask.float()
    for axis, side in enumerate(sides_vox):
        sides = [side if other == axis else 1 for other in range(3)]
        mask = F.max_pool3d(mask, sides, stride=1, padding=[length // 2 for length in sides])
    return mask
