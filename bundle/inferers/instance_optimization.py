"""Instance optimisation: improve a displacement field on its own pair of scans."""

from __future__ import annotations

import time
from collections.abc import Sequence
from itertools import product
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor
from tqdm import tqdm

from bundle.geometry import jacobian_determinant, resize_ddf, sample_points
from bundle.inferers.spline_field import SplineField, mean_of_neighbours
from bundle.losses import RegistrationLoss

MAX_FOLDING = 1e-3  # share of the region's voxels whose Jacobian may be 0 or less
STABLE_STEPS, STABLE_GAIN = 8, 5e-4  # a level ends when the same windows, of stride 2, have gained less in 8 steps
BETAS = (0.8, 0.9)  # Adam's; the usual ones average over more steps than a level has
EPS_OF_GRADIENT = 4.0  # Adam's, of the first gradient's rms: where images say nothing, full steps would follow rounding
LEAST_SIDE_VOX = 16  # of a level's grid
SLOPE_STEP_VOX = 2  # the regularisation takes differences over 2 voxels: the splines are that smooth


class _Level(NamedTuple):
    """A pair on the grid of one level, cropped to a box around its region.

    fixed, weights: (1, 1, h, w, d), the fixed scan and the region in the box.
    moving: (1, 1, H, W, D), the whole grid.
    box: slices of the whole grid, for any (B, C, H, W, D).
    inside: (N,) flat indices into the box of the voxels that the similarity needs.
    points_vox: (N, 3), their coordinates in the whole grid.
    control_vox: spacing (3,) of the control points.
    """

    fixed: Tensor
    moving: Tensor
    weights: Tensor
    box: tuple[slice, ...]
    inside: Tensor
    points_vox: Tensor
    control_vox: list[int]


class InstanceOptimization:
    """Minimise the loss of a ddf on its own pair, coarse to fine: Adam on cubic B-splines that are added to the ddf.

    Only the region around the mask is warped and compared. Steps become smaller until a level ends: more steps at the
    finest levels fit the noise of the scans (docs/method.md). A similarity whose windows have a stride is compared at
    other windows in each step, in a fixed order. Deterministic on a CPU; float32 throughout. The first level starts
    from the given ddf or from zero, whichever has the lower loss. A level that does not lower the loss leaves the ddf
    unchanged, so the same scan twice gives zero.

    Args:
        loss: its similarity inside the region, regularisation and weight are used separately. The similarity must state
            the side of its window as `window_vox` and their distance as `stride_vox`; voxels outside the reach of the
            windows are not warped.
        levels_mm: voxel size of each level, coarse to fine; levels finer than the grid use the grid's own voxels.
        control_mm: distance between the control points of each level.
        rim_mm: width of the tissue around the mask that is part of the region, so that the lung surface is matched.
        max_steps: of all levels, or of each; a level ends earlier once the loss is stable.
        learning_rate_vox: Adam's in the first step of a level, in its voxels; decreases linearly to zero.
        time_budget_s: no step starts later than this; None for no limit.
    Raises: ValueError if `control_mm` or `max_steps` do not fit `levels_mm`, or the similarity states no windows.
    """

    def __init__(
        self,
        *,
        loss: RegistrationLoss,
        levels_mm: Sequence[float],
        control_mm: Sequence[float],
        rim_mm: float,
        max_steps: int | Sequence[int] = 16,
        learning_rate_vox: float = 0.8,
        time_budget_s: float | None = None,
    ) -> None:
        steps = [max_steps] * len(levels_mm) if isinstance(max_steps, int) else max_steps
        for name, values in (("control_mm", control_mm), ("max_steps", steps)):
            if len(values) != len(levels_mm):
                raise ValueError(f"{name}: expected one value for each of levels_mm {levels_mm}, got {values}")
        if not (hasattr(loss.similarity, "window_vox") and hasattr(loss.similarity, "stride_vox")):
            found = type(loss.similarity).__name__
            raise ValueError(f"loss: expected a similarity with window_vox and stride_vox, got {found}")
        self.loss = loss
        self.levels_mm = levels_mm
        self.control_mm = control_mm
        self.rim_mm = rim_mm
        self.max_steps = list(steps)
        self.learning_rate_vox = learning_rate_vox
        self.time_budget_s = time_budget_s

    def __call__(
        self, ddf_vox: Tensor, image: Tensor, spacing_mm: Sequence[float], mask: Tensor | None = None
    ) -> Tensor:
        """The optimised ddf (B, 3, H, W, D).

        Args:
            ddf_vox: (B, 3, H, W, D), where to start.
            image: (B, 2, H, W, D), fixed and moving.
            spacing_mm: voxel size (3) of their grid.
            mask: (B, 1, H, W, D), where the scans are compared; the whole image if None.
        """
        deadline = time.monotonic() + (float("inf") if self.time_budget_s is None else self.time_budget_s)
        sides = [2 * round(self.rim_mm / size) + 1 for size in spacing_mm]
        region = torch.ones_like(image[:, :1]) if mask is None else _dilate(mask > 0.5, sides)
        with torch.inference_mode(False), torch.enable_grad():
            given = (volume.clone() if volume.is_inference() else volume for volume in (ddf_vox, image, region))
            fields, images, regions = (volume.float().split(1) for volume in given)
            pairs = zip(fields, images, regions, strict=True)
            return torch.cat([self._optimize(*pair, list(spacing_mm), deadline) for pair in pairs])

    def _optimize(
        self, ddf_vox: Tensor, image: Tensor, region: Tensor, spacing_mm: list[float], deadline: float
    ) -> Tensor:
        sides = list(ddf_vox.shape[2:])
        if not region.any():
            return ddf_vox
        given, correction = ddf_vox, torch.zeros_like(ddf_vox)
        levels = list(zip(self.levels_mm, self.control_mm, self.max_steps, strict=True))
        with tqdm(desc="instance optimisation", total=sum(self.max_steps), unit="step") as progress:
            for number, (level_mm, control_mm, max_steps) in enumerate(levels):
                progress.update(sum(self.max_steps[:number]) - progress.n)
                extents_mm = [side * size for side, size in zip(sides, spacing_mm, strict=True)]
                voxels_mm = [max(level_mm, size) for size in spacing_mm]
                shape = [max(round(a / b), LEAST_SIDE_VOX) for a, b in zip(extents_mm, voxels_mm, strict=True)]
                control_vox = [
                    max(round(control_mm * side / extent), 1) for side, extent in zip(shape, extents_mm, strict=True)
                ]
                coarse = [
                    part if shape == sides else F.interpolate(part, size=shape, mode="area") for part in (image, region)
                ]
                level = self._level(coarse[0], coarse[1], control_vox)
                start, correction = resize_ddf(given, shape)[level.box], resize_ddf(correction, shape)
                if number == 0 and self._is_worse_than_zero(start, level):
                    given, start = torch.zeros_like(given), torch.zeros_like(start)
                boxed = start + correction[level.box]
                found = _unfold(boxed + self._descend(boxed, level, max_steps, deadline, progress), level.weights > 0)
                correction += _fill(found - boxed, level.box, shape)
        return given + resize_ddf(correction, sides)

    def _level(self, image: Tensor, region: Tensor, control_vox: list[int]) -> _Level:
        window_vox: Any = self.loss.similarity.window_vox
        needed = _dilate(region > 0, [window_vox] * 3)[0, 0] > 0
        indices = needed.nonzero()
        low = (indices.amin(dim=0) - 1).clamp_min(0)  # room for differences beside a region one voxel thick
        high = torch.minimum(indices.amax(dim=0) + 2, indices.new_tensor(needed.shape))
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
            points_vox=points_vox.T.float().contiguous(),
            control_vox=control_vox,
        )

    def _is_worse_than_zero(self, given_vox: Tensor, level: _Level) -> bool:
        def loss_of(ddf_vox: Tensor) -> Tensor:
            shifts = ddf_vox[0].flatten(1).index_select(1, level.inside).T
            slopes = ddf_vox[..., ::SLOPE_STEP_VOX, ::SLOPE_STEP_VOX, ::SLOPE_STEP_VOX]
            return self._loss(level.points_vox + shifts, slopes, level, (0, 0, 0))

        with torch.no_grad():
            return bool(loss_of(given_vox) > loss_of(torch.zeros_like(given_vox)))

    def _loss(self, matches_vox: Tensor, every_second: Tensor, level: _Level, offset: Sequence[int]) -> Tensor:
        """The loss of a ddf in the level's box.

        Args:
            matches_vox: (N, 3), where the level's points lie in the moving scan.
            every_second: (1, 3, h, w, d), the ddf at every `SLOPE_STEP_VOX`-th voxel.
            offset: the first window along each axis, voxels.
        """
        values = sample_points(level.moving[0], matches_vox.T)
        # The other voxels keep the fixed scan's values: no window inside the region reaches them.
        warped = level.fixed.flatten().index_copy(0, level.inside, values[0]).view_as(level.fixed)
        h, w, d = offset
        first, second, mask = (volume[..., h:, w:, d:] for volume in (warped, level.fixed, level.weights))
        similarity = self.loss.similarity(first, second, mask=mask)
        return similarity + self.loss.weight * self.loss.regularization(every_second / SLOPE_STEP_VOX)

    def _descend(self, field: Tensor, level: _Level, max_steps: int, deadline: float, progress: tqdm) -> Tensor:
        """What one level adds to the ddf (1, 3, h, w, d) in its box."""
        splines = SplineField(field.shape[2:], spacing_vox=level.control_vox, device=field.device)
        control = splines.zeros().requires_grad_()
        optimizer = torch.optim.Adam([control], lr=self.learning_rate_vox, betas=BETAS)
        schedule = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.0, total_iters=max_steps)
        matches_vox = level.points_vox + field[0].flatten(1).index_select(1, level.inside).T
        every_second = field[..., ::SLOPE_STEP_VOX, ::SLOPE_STEP_VOX, ::SLOPE_STEP_VOX].contiguous()
        stride_vox: Any = self.loss.similarity.stride_vox
        offsets = list(product(range(stride_vox), repeat=3))

        def loss_at(offset: Sequence[int]) -> Tensor:
            vectors = splines(control)[0].permute(1, 2, 3, 0).reshape(-1, 3)
            slopes = every_second + splines(control, every_vox=SLOPE_STEP_VOX)
            return self._loss(matches_vox + vectors.index_select(0, level.inside), slopes, level, offset)

        losses: list[float] = []
        for step in range(max_steps):
            if time.monotonic() > deadline:
                break
            optimizer.zero_grad()
            loss = loss_at(offsets[step % len(offsets)])
            losses.append(float(loss.detach()))
            if len(losses) > STABLE_STEPS and losses[-STABLE_STEPS - 1] - losses[-1] < STABLE_GAIN:
                break
            loss.backward()
            if step == 0 and control.grad is not None:  # with a least value, since 0 / 0 has no direction
                eps = EPS_OF_GRADIENT * float(control.grad.square().mean().sqrt())
                optimizer.param_groups[0]["eps"] = max(eps, optimizer.defaults["eps"])
            optimizer.step()
            schedule.step()
            progress.update()
        with torch.no_grad():  # Adam leaves a minimum: its steps ignore the gradient's size
            if not losses or float(loss_at(offsets[0])) >= losses[0]:
                return torch.zeros_like(field)
            return splines(control)


def _fill(boxed: Tensor, box: tuple[slice, ...], shape: list[int]) -> Tensor:
    """Extend a field (1, 3, h, w, d) from its box to a grid of `shape` by its border values."""
    margins: list[int] = []
    for part, side in zip(box[2:], shape, strict=True):
        margins = [part.start, side - part.stop, *margins]  # F.pad begins with the last axis
    return F.pad(boxed, margins, mode="replicate")


def _unfold(ddf_vox: Tensor, region: Tensor) -> Tensor:
    """Smooth a ddf (1, 3, h, w, d) until at most `MAX_FOLDING` of the region (1, 1, h, w, d) folds."""
    while (jacobian_determinant(ddf_vox[0], torch.eye(3))[region[0, 0]] <= 0).float().mean() > MAX_FOLDING:
        ddf_vox = mean_of_neighbours(ddf_vox)
    return ddf_vox


def _dilate(mask: Tensor, sides_vox: Sequence[int]) -> Tensor:
    """Dilate a mask (B, 1, H, W, D) with a box of odd sides, axis by axis."""
    mask = mask.float()
    for axis, side in enumerate(sides_vox):
        sides = [side if other == axis else 1 for other in range(3)]
        mask = F.max_pool3d(mask, sides, stride=1, padding=[length // 2 for length in sides])
    return mask
