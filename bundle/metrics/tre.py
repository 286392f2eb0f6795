"""Target registration error (TRE) in mm; conventions in `bundle.geometry`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from monai.metrics.metric import CumulativeIterationMetric
from torch import Tensor

from bundle.geometry import apply_affine

TIE_DECIMALS = 6  # voxel coordinates are rounded before ties: inverting the affine adds noise


class TRESummary(NamedTuple):
    """Statistics of one case's landmark errors, mm; all but `landmarks` are NaN for a case without landmarks."""

    mean_mm: float
    std_mm: float
    median_mm: float
    p95_mm: float
    max_mm: float
    landmarks: float


def compute_tre_mm(mapped_mm: Tensor, moving_mm: Tensor) -> Tensor:
    """Distance of each mapped landmark to its counterpart, mm.

    Args:
        mapped_mm: (N, 3), the fixed landmarks mapped to the moving scan, RAS mm; the fixed landmarks themselves give
            the error without registration.
        moving_mm: (N, 3), matching rows.
    Returns: (N,) float64 on the CPU.
    Raises: ValueError if the sets do not match or are not (N, 3).
    """
    if mapped_mm.ndim != 2 or mapped_mm.shape[1] != 3 or mapped_mm.shape != moving_mm.shape:
        raise ValueError(
            "mapped_mm and moving_mm: expected two landmark sets (N, 3) with matching rows, "
            f"got {tuple(mapped_mm.shape)} and {tuple(moving_mm.shape)}"
        )
    # not every accelerator supports float64
    return torch.linalg.vector_norm(mapped_mm.cpu().double() - moving_mm.cpu().double(), dim=1)


def snap_to_grid_mm(points_mm: Tensor, affine: Tensor) -> Tensor:
    """Round points to the nearest voxel centres of the moving scan, DIR-Lab's rule for *snapped* TRE.

    Args:
        points_mm: (N, 3), RAS mm.
        affine: (4, 4), voxels to RAS mm of the moving scan as acquired.
    Returns: (N, 3) float64 on the CPU. Ties go to the higher index, as MATLAB's `round` does for positive indices.
    """
    affine = affine.cpu().double()
    points_vox = apply_affine(torch.linalg.inv(affine), points_mm.cpu().double())
    return apply_affine(affine, torch.floor(torch.round(points_vox, decimals=TIE_DECIMALS) + 0.5))


def summarize_tre(tre_mm: Tensor) -> TRESummary:
    """Statistics of the errors (N,) of one case: population standard deviation, linearly interpolated percentiles."""
    if tre_mm.numel() == 0:
        nan = float("nan")
        return TRESummary(nan, nan, nan, nan, nan, 0.0)
    median, p95 = torch.quantile(tre_mm, tre_mm.new_tensor([0.5, 0.95])).tolist()
    std = tre_mm.std(correction=0).item()
    return TRESummary(tre_mm.mean().item(), std, median, p95, tre_mm.max().item(), float(tre_mm.numel()))


class TargetRegistrationErrorMetric(CumulativeIterationMetric):
    """TRE of each case; landmark counts may differ between cases.

    Each case is one row of `TRESummary`, so ranks with different landmark counts gather tensors of the same width.
    `get_buffer()` is the per-case table (cases, 6), in call order, rank by rank.
    """

    def _compute_list(
        self,
        y_pred: Sequence[Tensor],
        y: Sequence[Tensor] | None = None,
        moving_affine: Sequence[Tensor] | None = None,
    ) -> Tensor:
        """Table (cases, 6) of a list of cases.

        Args:
            y_pred: mapped landmarks of each case, (N, 3) RAS mm.
            y: moving landmarks of each case, (N, 3) RAS mm, matching rows.
            moving_affine: (4, 4) of each moving scan, to snap mapped points to its voxels; None: no snapping.
        """
        if y is None or len(y_pred) != len(y):
            raise ValueError(f"y: expected landmarks of {len(y_pred)} cases, got {None if y is None else len(y)}")
        if moving_affine is not None:
            y_pred = [snap_to_grid_mm(points, affine) for points, affine in zip(y_pred, moving_affine, strict=True)]
        rows = [summarize_tre(compute_tre_mm(mapped, moving)) for mapped, moving in zip(y_pred, y, strict=True)]
        return torch.tensor(rows, dtype=torch.float64)

    def _compute_tensor(
        self, y_pred: Tensor, y: Tensor | None = None, moving_affine: Sequence[Tensor] | None = None
    ) -> Tensor:
        """Table (cases, 6) of points stacked to (B, N, 3)."""
        return self._compute_list(list(y_pred), None if y is None else list(y), moving_affine)

    def aggregate(self) -> Tensor:
        """Mean over cases of each case's mean TRE, mm; cases without landmarks are ignored.

        Raises: ValueError before the first case.
        """
        table = self.get_buffer()
        if table is None:
            raise ValueError("no case was scored: call the metric before aggregate()")
        return table[:, TRESummary._fields.index("mean_mm")].nanmean()
