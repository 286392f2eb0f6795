"""Refine a displacement field on the pair at hand."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor
from tqdm import tqdm

from bundle.geometry import jacobian_determinant, resize_ddf, sample_points
from bundle.inferers.spline_field import SplineField, mean_of_neighbours
from bundle.losses import RegistrationLoss

MAX_FOLDING = 1e-3  # share of the region's voxels whose Jacobian may be 0 or less
STABLE_STEPS = 10  # a level ends once so many steps together
STABLE_GAIN = 5e-4  # lower the loss by less
LEAST_SIDE_VOX = 16  # of a level's grid
SLOPE_STEP = 2  # voxels over which the regularisation takes differences: splines are that smooth


class _Level(NamedTuple):
    """A pair around its region, on a grid of its own.

    fixed, weights: (1, 1, h, w, d), the box around the region; the mask in which similarity counts.
    moving: (1, 1, H, W, D), the whole grid.
    box: of the whole grid, for any (B, C, H, W, D).
    inside: (N,) flat indices into the box, where the warped scan is needed.
    points_vox: (3, N) their places in the whole grid.
    """

    fixed: Tensor
    moving: Tensor
    weights: Tensor
    box: tuple[slice, ...]
    inside: Tensor
    points_vox: Tensor


class InstanceOptimization:
    """Lower the loss of a ddf on its own pair, coarse to fine, by Adam on cubic B-splines that are added to it.

    Only the region around the mask is warped and compared. Deterministic on a CPU; float32 throughout. The given ddf
    and no motion at all compete for the start, so that a network that fails costs nothing but time.

    Args:
        loss: its parts are used: similarity inside the region, whose `window_vox` says how far it looks (one voxel
            where it has none), regularisation around the region, weight.
        factors: voxel size of each level relative to the grid's, coarse to fine.
        max_steps: on each level; fewer where the loss is stable.
        learning_rate_vox: Adam's, in voxels of the level.
        control_vox: between the controls of the splines, in voxels of the level.
        rim_vox: tissue around the mask that counts, in voxels of the grid: the surface of the lungs is worth matching.
        time_budget_s: no step begins later than this; None for no limit.
    """

    def __init__(
        self,
        *,
        loss: RegistrationLoss,
        factors: Sequence[float] = (4.0, 2.7, 1.6, 1.0),
        max_steps: int = 30,
        learning_rate_vox: float = 0.2,
        control_vox: int = 3,
        rim_vox: int = 3,
        time_budget_s: float | None = None,
    ) -> None:
        self.loss = loss
        self.factors = factors
        self.max_steps = max_steps
        self.learning_rate_vox = learning_rate_vox
        self.control_vox = control_vox
        self.rim_vox = rim_vox
        self.time_budget_s = time_budget_s

    def __call__(self, ddf_vox: Tensor, image: Tensor, mask: Tensor | None = None) -> Tensor:
        """Refine the ddf (B, 3, H, W, D) of `image` (B, 2, H, W, D); mask (B, 1, H, W, D), None for the whole image."""
        deadline = time.monotonic() + (float("inf") if self.time_budget_s is None else self.time_budget_s)
        region = torch.ones_like(image[:, :1]) if mask is None else _dilate(mask > 0.5, 2 * self.rim_vox + 1)
        with torch.inference_mode(False), torch.enable_grad():  # hosts may run in inference mode, which clones leave
            fields, images, regions = (volume.float().clone().split(1) for volume in (ddf_vox, image, region))
            pairs = zip(fields, images, regions, strict=True)
            return torch.cat([self._refine_pair(field, pair, part, deadline) for field, pair, part in pairs])

    def _refine_pair(self, ddf_vox: Tensor, image: Tensor, region: Tensor, deadline: float) -> Tensor:
        sides = list(ddf_vox.shape[2:])
        if not region.any():
            return ddf_vox
        given, correction = ddf_vox, torch.zeros_like(ddf_vox)
        with tqdm(desc="refinement", total=len(self.factors) * self.max_steps, unit="step") as progress:
            for number, factor in enumerate(self.factors):
                progress.update(number * self.max_steps - progress.n)
                shape = [max(round(side / factor), LEAST_SIDE_VOX) for side in sides]
                level = self._level(*(F.interpolate(part, size=shape, mode="area") for part in (image, region)))
                start = resize_ddf(given, shape)
                if number == 0 and self._is_worse_than_none(start[level.box], level):
                    given, start = torch.zeros_like(given), torch.zeros_like(start)
                field = start + resize_ddf(correction, shape)
                boxed = field[level.box]
                boxed = _unfold(boxed + self._descend(boxed, level, deadline, progress), level.weights > 0)
                correction = _fill(boxed - field[level.box], level.box, shape) + field - start
        return given + resize_ddf(correction, sides)

    def _level(self, image: Tensor, region: Tensor) -> _Level:
        window = getattr(self.loss.similarity, "window_vox", 1)
        needed = _dilate(region > 0, window)[0, 0] > 0
        places = needed.nonzero()
        low = (places.amin(dim=0) - 1).clamp_min(0)  # room for differences beside a region one voxel thick
        high = torch.minimum(places.amax(dim=0) + 2, places.new_tensor(needed.shape))
        ends = zip(low.tolist(), high.tolist(), strict=True)
        box = (slice(None), slice(None), *(slice(first, last) for first, last in ends))
        needed = needed[box[2:]]
        inside = needed.flatten().nonzero()[:, 0]
        points_vox = torch.stack(torch.unravel_index(inside, needed.shape)) + low[:, None]
        return _Level(
            fixed=image[box][:, :1].contiguous(),
            moving=image[:, 1:].contiguous(),
            weights=region[box].contiguous(),
            box=box,
            inside=inside,
            points_vox=points_vox.float(),
        )

    def _is_worse_than_none(self, ddf_vox: Tensor, level: _Level) -> bool:
        with torch.no_grad():
            return bool(self._loss_of(ddf_vox, level) > self._loss_of(torch.zeros_like(ddf_vox), level))

    def _loss_of(self, ddf_vox: Tensor, level: _Level) -> Tensor:
        """The loss of a ddf (1, 3, h, w, d) in the level's box."""
        slopes = ddf_vox[..., ::SLOPE_STEP, ::SLOPE_STEP, ::SLOPE_STEP] / SLOPE_STEP
        shift_vox = ddf_vox[0].flatten(1).index_select(1, level.inside)
        values = sample_points(level.moving[0], level.points_vox + shift_vox)
        # What is not needed is left alike: it stands beyond the reach of any window that counts.
        warped = level.fixed.flatten().index_copy(0, level.inside, values[0]).view_as(level.fixed)
        similarity = self.loss.similarity(warped, level.fixed, mask=level.weights)
        return similarity + self.loss.weight * self.loss.regularization(slopes)

    def _descend(self, field: Tensor, level: _Level, deadline: float, progress: tqdm) -> Tensor:
        """What one level adds to the ddf (1, 3, h, w, d) in its box."""
        splines = SplineField(field.shape[2:], spacing_vox=self.control_vox, device=field.device)
        control = splines.zeros().requires_grad_()
        optimizer = torch.optim.Adam([control], lr=self.learning_rate_vox)
        losses: list[float] = []
        for _ in range(self.max_steps):
            if time.monotonic() > deadline:
                break
            optimizer.zero_grad()
            loss = self._loss_of(field + splines(control), level)
            losses.append(float(loss.detach()))
            if len(losses) > STABLE_STEPS and losses[-STABLE_STEPS - 1] - losses[-1] < STABLE_GAIN:
                break
            loss.backward()
            optimizer.step()
            progress.update()
        return splines(control).detach()


def _fill(boxed: Tensor, box: tuple[slice, ...], shape: list[int]) -> Tensor:
    """Continue a field (1, 3, h, w, d) from its box to a grid of `shape`: the border value holds outside."""
    margins: list[int] = []
    for part, side in zip(box[2:], shape, strict=True):
        margins = [part.start, side - part.stop, *margins]  # the last axis comes first
    return F.pad(boxed, margins, mode="replicate")


def _unfold(ddf_vox: Tensor, region: Tensor) -> Tensor:
    """Smooth a ddf (1, 3, h, w, d) until no more than `MAX_FOLDING` of the region (1, 1, h, w, d) folds."""
    while _folding(ddf_vox[0], region[0, 0]) > MAX_FOLDING:
        ddf_vox = mean_of_neighbours(ddf_vox)
    return ddf_vox


def _folding(ddf_vox: Tensor, region: Tensor) -> float:
    """Share of the region (h, w, d) in which the ddf (3, h, w, d) has a Jacobian of 0 or less."""
    return float((jacobian_determinant(ddf_vox, torch.eye(3))[region] <= 0).float().mean())


def _dilate(mask: Tensor, side_vox: int) -> Tensor:
    return F.max_pool3d(mask.float(), side_vox, stride=1, padding=side_vox // 2)
