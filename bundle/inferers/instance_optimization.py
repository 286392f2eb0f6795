"""Instance optimisation: improve a displacement field on its own pair of scans."""

from __future__ import annotations

import time
from collections.abc import Sequence
from itertools import product
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.optim.adam import adam
from tqdm import tqdm

from bundle.geometry import resize_ddf
from bundle.inferers.optimization_level import SLOPE_STEP_VOX, OptimizationLevel, dilate, every_second
from bundle.inferers.smoothing import smooth_ddf, unfold
from bundle.inferers.spline_field import SplineField, SplineVectors
from bundle.losses import RegistrationLoss

STABLE_STEPS, STABLE_GAIN = 8, 5e-4  # a level ends when the same windows, of stride 2, have gained less in 8 steps
BETAS = (0.8, 0.9)  # Adam's; the usual ones average over more steps than a level has
EPS_OF_GRADIENT = 4.0  # Adam's, of the first gradient's rms: where images say nothing, full steps would follow rounding
CHECK_STEPS = 2  # from one look at the loss to the next: a GPU waits for each
LEAST_SIDE_VOX = 16  # of a level's grid
LEAST_EPS = 1e-8


class InstanceOptimization:
    """Minimise the loss of a ddf on its own pair, coarse to fine: Adam on cubic B-splines that are added to the ddf.

    Only the region around the mask is warped and compared. Steps become smaller until a level ends: more steps at the
    finest levels fit the noise of the scans (docs/method.md). A similarity whose windows have a stride is compared at
    other windows in each step, in a fixed order. Deterministic on a CPU; float32 throughout. The first level starts
    from the given ddf, smoothed, or from zero, whichever has the lower loss. A level that does not lower the loss
    leaves the ddf unchanged, so the same scan twice gives zero. If the time ends first, the given ddf comes back where
    it has the lower loss.

    Args:
        loss: its similarity inside the region, regularisation and weight are used separately. The similarity must state
            the side of its window as `window_vox` and their distance as `stride_vox`; voxels outside the reach of the
            windows are not warped.
        levels_mm: voxel size of each level, coarse to fine; levels finer than the grid use the grid's own voxels, and
            are left out if their control points are those of the level before, too.
        control_mm: distance between the control points of each level.
        rim_mm: width of the tissue around the mask that is part of the region, so that the lung surface is matched.
        max_steps: of all levels, or of each; a level ends earlier once the loss is stable.
        least_gain: of the loss, of all levels, or of each: a level that lowers it by no more leaves the ddf unchanged.
            Denser control points lower it a little in any case, since they fit the noise of the scans.
        start_smoothing_mm: standard deviation of the Gaussian that smooths the given ddf. What it removes is found
            anew by the levels, and errors of the network that splines cannot undo do not stay.
        learning_rate_vox: Adam's in the first step of a level, in its voxels; decreases linearly to zero.
        time_budget_s: no step starts later than this; None for no limit.
    Raises: ValueError if `control_mm`, `max_steps` or `least_gain` do not fit `levels_mm`, or the similarity states no
        windows.
    """

    def __init__(
        self,
        *,
        loss: RegistrationLoss,
        levels_mm: Sequence[float],
        control_mm: Sequence[float],
        rim_mm: float,
        max_steps: int | Sequence[int] = 16,
        least_gain: float | Sequence[float] = 0.0,
        start_smoothing_mm: float = 0.0,
        learning_rate_vox: float = 0.8,
        time_budget_s: float | None = None,
    ) -> None:
        steps = [max_steps] * len(levels_mm) if isinstance(max_steps, int) else max_steps
        gains = [least_gain] * len(levels_mm) if isinstance(least_gain, (int, float)) else least_gain
        for name, values in (("control_mm", control_mm), ("max_steps", steps), ("least_gain", gains)):
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
        self.least_gain = list(gains)
        self.start_smoothing_mm = start_smoothing_mm
        self.learning_rate_vox = learning_rate_vox
        if time_budget_s is not None and time_budget_s < 0:
            raise ValueError(f"refine_budget_s: expected seconds of 0 or more, got {time_budget_s:g}")
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
        region = torch.ones_like(image[:, :1], dtype=torch.bool) if mask is None else dilate(mask > 0.5, sides) > 0
        with torch.inference_mode(False), torch.enable_grad():
            given = (volume.clone() if volume.is_inference() else volume for volume in (ddf_vox, image, region))
            fields, images, regions = (volume.split(1) for volume in given)
            pairs = zip(fields, images, regions, strict=True)
            return torch.cat([self._optimize(*pair, list(spacing_mm), deadline) for pair in pairs])

    def _optimize(
        self, ddf_vox: Tensor, image: Tensor, region: Tensor, spacing_mm: list[float], deadline: float
    ) -> Tensor:
        sides = list(ddf_vox.shape[2:])
        if not region.any() or time.monotonic() >= deadline:
            return ddf_vox
        given, correction = ddf_vox.float(), torch.zeros(1, 3, 1, 1, 1).to(image.device)
        if self.start_smoothing_mm > 0:
            given = smooth_ddf(given, [self.start_smoothing_mm / size for size in spacing_mm])
        levels = list(zip(self.levels_mm, self.control_mm, self.max_steps, self.least_gain, strict=True))
        before: tuple[list[int], list[int]] | None = None
        with tqdm(desc="instance optimisation", total=sum(self.max_steps), unit="step") as progress:
            for number, (level_mm, control_mm, max_steps, least_gain) in enumerate(levels):
                progress.update(sum(self.max_steps[:number]) - progress.n)
                extents_mm = [side * size for side, size in zip(sides, spacing_mm, strict=True)]
                voxels_mm = [max(level_mm, size) for size in spacing_mm]
                shape = [max(round(a / b), LEAST_SIDE_VOX) for a, b in zip(extents_mm, voxels_mm, strict=True)]
                control_vox = [
                    max(round(control_mm * side / extent), 1) for side, extent in zip(shape, extents_mm, strict=True)
                ]
                if (shape, control_vox) == before:
                    continue  # on a coarse grid: the same level again
                before = (shape, control_vox)
                coarse = [
                    part.float() if shape == sides else F.interpolate(part.float(), size=shape, mode="area")
                    for part in (image, region)
                ]
                level = OptimizationLevel(self.loss, *coarse)
                correction = resize_ddf(correction, shape)
                start = _sum_in_box(given, correction, level)
                if number == 0 and _loss(start, level) > _loss(torch.zeros_like(start), level):
                    given, start = torch.zeros_like(given), torch.zeros_like(start)
                del coarse
                splines = SplineField(start.shape[2:], spacing_vox=control_vox, device=start.device)
                matches_vox, slopes_vox = level.matches_vox(start), every_second(start)
                del start  # the steps below take most memory
                control = self._descend(
                    level, splines, matches_vox, slopes_vox, max_steps, least_gain, deadline, progress
                )
                del matches_vox, slopes_vox
                start = _sum_in_box(given, correction, level)
                found = start.clone() if control is None else splines(control).add_(start)
                added = unfold(found, level.weights > 0).sub_(start)
                del start, found
                correction += _fill(added, level.box, shape)
                del added, level
        found = given + resize_ddf(correction, sides)
        if time.monotonic() < deadline:
            return found
        level = OptimizationLevel(self.loss, image.float(), region.float())  # the time may be too short for any gain
        losses = [_loss(field[level.box], level) for field in (found, ddf_vox)]
        return found if losses[0] < losses[1] else ddf_vox

    def _descend(
        self,
        level: OptimizationLevel,
        splines: SplineField,
        matches_vox: Tensor,
        slopes_vox: Tensor,
        max_steps: int,
        least_gain: float,
        deadline: float,
        progress: tqdm,
    ) -> Tensor | None:
        """Control points of what a level adds to the ddf; None if that lowers the loss by no more than `least_gain`.

        Args:
            matches_vox, slopes_vox: the ddf that the level starts from, see `OptimizationLevel.evaluate`.
        """
        control = splines.zeros().requires_grad_()
        vectors = SplineVectors(splines, level.inside)
        stride_vox: Any = self.loss.similarity.stride_vox
        offsets = list(product(range(stride_vox), repeat=3))
        checked = range(STABLE_STEPS, max_steps, CHECK_STEPS)

        def loss_at(offset: Sequence[int]) -> Tensor:
            slopes = slopes_vox + splines(control, every_vox=SLOPE_STEP_VOX)
            return level.evaluate(vectors(control).add(matches_vox), slopes, offset)

        # not torch.optim.Adam: any optimiser of torch imports its compiler first, for half a second
        mean, square, steps, eps = torch.zeros_like(control), torch.zeros_like(control), torch.zeros(()), LEAST_EPS
        losses: list[Tensor] = []
        for step in range(max_steps):
            if time.monotonic() > deadline:
                break
            loss = loss_at(offsets[step % len(offsets)])
            losses.append(loss.detach())
            if step in checked and losses[-STABLE_STEPS - 1] - losses[-1] < STABLE_GAIN:
                break
            (gradient,) = torch.autograd.grad(loss, control)
            if step == 0:  # with a least value, since 0 / 0 has no direction
                eps = max(EPS_OF_GRADIENT * float(gradient.square().mean().sqrt()), LEAST_EPS)
            with torch.no_grad():
                adam(
                    [control],
                    [gradient],
                    [mean],
                    [square],
                    max_exp_avg_sqs=[],
                    state_steps=[steps],
                    amsgrad=False,
                    beta1=BETAS[0],
                    beta2=BETAS[1],
                    lr=self.learning_rate_vox * (1 - step / max_steps),
                    weight_decay=0.0,
                    eps=eps,
                    maximize=False,
                )
            progress.update()
        with torch.no_grad():  # Adam leaves a minimum: its steps ignore the gradient's size
            return control.detach() if losses and losses[0] - loss_at(offsets[0]) > least_gain else None


def _sum_in_box(given: Tensor, correction: Tensor, level: OptimizationLevel) -> Tensor:
    """Two fields (1, 3, h, w, d) of a level's box, the first one on any grid (1, 3, H, W, D)."""
    return resize_ddf(given, list(correction.shape[2:]))[level.box] + correction[level.box]


def _loss(ddf_vox: Tensor, level: OptimizationLevel) -> Tensor:
    """Of a ddf (1, 3, h, w, d) in the level's box, at the windows of the first offset."""
    with torch.no_grad():
        return level.evaluate(level.matches_vox(ddf_vox), every_second(ddf_vox))


def _fill(boxed: Tensor, box: tuple[slice, ...], shape: list[int]) -> Tensor:
    """Extend a field (1, 3, h, w, d) from its box to a grid of `shape` by its border values."""
    margins: list[int] = []
    for part, side in zip(box[2:], shape, strict=True):
        margins = [part.start, side - part.stop, *margins]  # F.pad begins with the last axis
    return F.pad(boxed, margins, mode="replicate")
