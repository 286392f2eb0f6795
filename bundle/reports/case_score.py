"""What is reported about one registered pair."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor

from bundle.metrics import TRESummary, compute_tre_mm, snap_to_grid_mm, summarize_tre

NAN = float("nan")
OPTIONAL_SCORES = ("folding_percent", "sd_log_jacobian", "time_s")


class StageTRE(NamedTuple):
    """TRE of one pair without registration, after the initial alignment and after the network."""

    none: TRESummary
    aligned: TRESummary
    registered: TRESummary


@dataclass(frozen=True)
class CaseScore:
    """Scores of one pair; NaN is what was not measured.

    Args:
        name: the pair's name.
        continuous, snapped: TRE of the exact points, and of points rounded to voxels of the moving scan (DIR-Lab).
        folding_percent, sd_log_jacobian: of the whole transform inside the fixed lung mask.
        time_s: wall time of the registration.
    """

    name: str
    continuous: StageTRE
    snapped: StageTRE
    folding_percent: float = NAN
    sd_log_jacobian: float = NAN
    time_s: float = NAN

    def row(self) -> dict[str, str | float]:
        """Flat record with units in its keys, as written to tables and reports."""
        row: dict[str, str | float] = {"name": self.name, "landmarks": int(self.continuous.registered.landmarks)}
        for prefix, stages in (("tre", self.continuous), ("snapped_tre", self.snapped)):
            row[f"{prefix}_none_mm"] = stages.none.mean_mm
            row[f"{prefix}_aligned_mm"] = stages.aligned.mean_mm
            row[f"{prefix}_mm"] = stages.registered.mean_mm
            row[f"{prefix}_std_mm"] = stages.registered.std_mm
            row[f"{prefix}_median_mm"] = stages.registered.median_mm
            row[f"{prefix}_p95_mm"] = stages.registered.p95_mm
            row[f"{prefix}_max_mm"] = stages.registered.max_mm
        row["folding_percent"] = self.folding_percent
        row["sd_log_jacobian"] = self.sd_log_jacobian
        row["time_s"] = self.time_s
        return row


def score_case(
    name: str,
    *,
    fixed_mm: Tensor,
    moving_mm: Tensor,
    aligned_mm: Tensor,
    mapped_mm: Tensor,
    moving_affine: Tensor,
    folding_percent: float = NAN,
    sd_log_jacobian: float = NAN,
    time_s: float = NAN,
) -> CaseScore:
    """Score one pair by its landmarks.

    Args:
        name: the pair's name, used in errors too.
        fixed_mm, moving_mm: (N, 3) landmarks, matching rows, RAS mm; (0, 3) for a pair without.
        aligned_mm, mapped_mm: (N, 3) fixed landmarks after the initial alignment, and after the whole transform.
        moving_affine: (4, 4), voxel to RAS mm of the moving scan as acquired.
        folding_percent, sd_log_jacobian, time_s: see `CaseScore`.
    Raises: ValueError if the landmark sets do not match.
    """
    points = (fixed_mm, aligned_mm, mapped_mm)
    try:
        continuous = StageTRE(*[summarize_tre(compute_tre_mm(mapped, moving_mm)) for mapped in points])
        voxels = [snap_to_grid_mm(mapped, moving_affine) for mapped in points]
        snapped = StageTRE(*[summarize_tre(compute_tre_mm(mapped, moving_mm)) for mapped in voxels])
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from error
    return CaseScore(name, continuous, snapped, folding_percent, sd_log_jacobian, time_s)


def score_pair(pair: Mapping[Any, Any]) -> CaseScore:
    """Score one pair as the evaluator leaves it.

    Args:
        pair: `name`, `moving_affine` (4, 4); `fixed_landmarks`, `moving_landmarks`, `aligned_landmarks`,
            `mapped_landmarks` (N, 3) RAS mm, all or none counted; what was measured of `OPTIONAL_SCORES`.
    """
    has_landmarks = "fixed_landmarks" in pair and "moving_landmarks" in pair
    fixed, moving, aligned, mapped = [
        pair[key] if has_landmarks else torch.zeros(0, 3)
        for key in ("fixed_landmarks", "moving_landmarks", "aligned_landmarks", "mapped_landmarks")
    ]
    return score_case(
        pair["name"],
        fixed_mm=fixed,
        moving_mm=moving,
        aligned_mm=aligned,
        mapped_mm=mapped,
        moving_affine=pair["moving_affine"],
        **{key: float(pair[key]) for key in OPTIONAL_SCORES if key in pair},
    )
