"""Refine a displacement field on the pair at hand."""

from __future__ import annotations

import time
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from tqdm import tqdm

from bundle.geometry import jacobian_determinant, resize_ddf

CONTROL_FACTOR = 3  # the optimiser moves every third voxel along each axis,
SMOOTHING_PASSES = 3  # and means over 27 neighbours keep noise and folding out of what it moves
MAX_FOLDING = 1e-3  # share of the region's voxels whose Jacobian may be 0 or less
STABLE_STEPS = 10  # a level ends once so many steps together
STABLE_GAIN = 5e-4  # lower the loss by less


class FieldRefinement:
    """Lower the loss of a ddf on its own pair, coarse to fine, by Adam on a smooth field that is added to it.

    Deterministic on a CPU; float32 throughout. The given ddf and no motion at all compete for the start, so that a
    network that fails costs nothing but time.

    Args:
        loss: called as loss(ddf, label), label (B, 3, H, W, D): fixed, moving and the mask in which similarity counts.
        factors: voxel size of each level relative to the grid's, coarse to fine.
        max_steps: on each level; fewer where the loss is stable.
        learning_rate_vox: Adam's, in voxels of the level.
        rim_vox: tissue around the mask that counts, in voxels of the grid: the surface of the lungs is worth matching.
        time_budget_s: no step begins later than this; None for no limit.
    """

    def __init__(
        self,
        *,
        loss: nn.Module,
        factors: Sequence[float] = (3.0, 2.0, 1.5, 1.0),
        max_steps: int = 40,
        learning_rate_vox: float = 0.1,
        rim_vox: int = 2,
        time_budget_s: float | None = None,
    ) -> None:
        self.loss = loss
        self.factors = factors
        self.max_steps = max_steps
        self.learning_rate_vox = learning_rate_vox
        self.rim_vox = rim_vox
        self.time_budget_s = time_budget_s

    def __call__(self, ddf_vox: Tensor, image: Tensor, mask: Tensor | None = None) -> Tensor:
        """Refine the ddf (B, 3, H, W, D) of `image` (B, 2, H, W, D); mask (B, 1, H, W, D), None for the whole image."""
        deadline = time.monotonic() + (float("inf") if self.time_budget_s is None else self.time_budget_s)
        region = torch.ones_like(image[:, :1]) if mask is None else _dilate(mask > 0.5, self.rim_vox)
        with torch.inference_mode(False), torch.enable_grad():  # hosts may run in inference mode, which clones leave
            label = torch.cat([image, region.to(image)], dim=1).float().clone()
            given = ddf_vox.float().clone()
            sides = list(given.shape[2:])
            correction = torch.zeros_like(given)
            with tqdm(desc="refinement", total=len(self.factors) * self.max_steps, unit="step") as progress:
                for level, factor in enumerate(self.factors):
                    progress.update(level * self.max_steps - progress.n)
                    shape = [max(round(side / factor), 2 * CONTROL_FACTOR) for side in sides]
                    level_label = F.interpolate(label, size=shape, mode="area")
                    if level == 0 and self._is_worse_than_none(resize_ddf(given, shape), level_label):
                        given = torch.zeros_like(given)
                    start, correction = resize_ddf(given, shape), resize_ddf(correction, shape)
                    correction = self._descend(start, correction, level_label, deadline, progress)
                    correction = _unfold(start + correction, level_label[:, 2:] > 0) - start
        return given + resize_ddf(correction, sides)

    def _is_worse_than_none(self, ddf_vox: Tensor, label: Tensor) -> bool:
        with torch.no_grad():
            return bool(self.loss(ddf_vox, label) > self.loss(torch.zeros_like(ddf_vox), label))

    def _descend(self, start: Tensor, correction: Tensor, label: Tensor, deadline: float, progress: tqdm) -> Tensor:
        """The correction of `start`, both (B, 3, h, w, d) on the grid of `label`, after one level."""
        shape = list(start.shape[2:])
        sides = [-(-side // CONTROL_FACTOR) for side in shape]
        control = start.new_zeros((start.shape[0], 3, *sides), requires_grad=True)
        optimizer = torch.optim.Adam([control], lr=self.learning_rate_vox)
        losses: list[float] = []
        for _ in range(self.max_steps):
            if time.monotonic() > deadline:
                break
            optimizer.zero_grad()
            loss = self.loss(start + correction + _smooth_field(control, shape), label)
            losses.append(float(loss.detach()))
            if len(losses) > STABLE_STEPS and losses[-STABLE_STEPS - 1] - losses[-1] < STABLE_GAIN:
                break
            loss.backward()
            optimizer.step()
            progress.update()
        return (correction + _smooth_field(control, shape)).detach()


def _smooth_field(control: Tensor, shape: list[int]) -> Tensor:
    for _ in range(SMOOTHING_PASSES):
        control = _mean_of_neighbours(control)
    return F.interpolate(control, size=shape, mode="trilinear", align_corners=False)


def _unfold(ddf_vox: Tensor, region: Tensor) -> Tensor:
    """Smooth a ddf (B, 3, h, w, d) until no more than `MAX_FOLDING` of the region (B, 1, h, w, d) folds."""
    while _folding(ddf_vox, region) > MAX_FOLDING:
        ddf_vox = _mean_of_neighbours(ddf_vox)
    return ddf_vox


def _folding(ddf_vox: Tensor, region: Tensor) -> float:
    """Share of the region with a Jacobian of 0 or less."""
    jacobian = torch.stack([jacobian_determinant(ddf, torch.eye(3)) for ddf in ddf_vox])
    return float((jacobian[region[:, 0]] <= 0).float().mean())


def _mean_of_neighbours(field: Tensor) -> Tensor:
    return F.avg_pool3d(F.pad(field, [1] * 6, mode="replicate"), 3, stride=1)


def _dilate(mask: Tensor, radius_vox: int) -> Tensor:
    return F.max_pool3d(mask.float(), 2 * radius_vox + 1, stride=1, padding=radius_vox)
