"""Scores of one registered pair."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor

from bundle.io import Recipe
from bundle.metrics import TRESummary, compute_tre_mm, snap_to_grid_mm, summarize_tre

NAN = float("nan")
Weights = Literal["transductive", "held out", "unknown"]
OPTIONAL_SCORES = ("folding_percent", "sd_log_jacobian", "time_s")


class StageTRE(NamedTuple):
    """TRE of one pair before registration, after the initial alignment and after the whole registration."""

    none: TRESummary
    aligned: TRESummary
    registered: TRESummary


@dataclass(frozen=True)
class CaseScore:
    """Scores of one pair; NaN marks missing values.

    Args:
        name: the pair's name.
        continuous, snapped: TRE of the mapped points, and after rounding them to voxels of the moving scan (DIR-Lab).
        folding_percent, sd_log_jacobian: of the whole transform inside the fixed lung mask.
        time_s: wall time of the registration.
        trained_on: whether the network was trained on this pair; None if unknown.
    """

    name: str
    continuous: StageTRE
    snapped: StageTRE
    folding_percent: float = NAN
    sd_log_jacobian: float = NAN
    time_s: float = NAN
    trained_on: bool | None = None

    @property
    def weights(self) -> Weights:
        """What the weights are to this pair."""
        if self.trained_on is None:
            return "unknown"
        return "transductive" if self.trained_on else "held out"

    def row(self) -> dict[str, str | float]:
        """Flat record with units in its keys, for tables and reports."""
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
        row["weights"] = self.weights
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
    trained_on: bool | None = None,
) -> CaseScore:
    """Score one pair by its landmarks.

    Args:
        name: the pair's name, also used in error messages.
        fixed_mm, moving_mm: (N, 3) landmarks, matching rows, RAS mm; (0, 3) for a pair without landmarks.
        aligned_mm, mapped_mm: (N, 3) fixed landmarks after the initial alignment, and after the whole transform.
        moving_affine: (4, 4), voxel to RAS mm of the moving scan as acquired.
        folding_percent, sd_log_jacobian, time_s, trained_on: see `CaseScore`.
    Raises: ValueError if the landmark sets differ in length.
    """
    points = (fixed_mm, aligned_mm, mapped_mm)
    try:
        continuous = StageTRE(*[summarize_tre(compute_tre_mm(mapped, moving_mm)) for mapped in points])
        voxels = [snap_to_grid_mm(mapped, moving_affine) for mapped in points]
        snapped = StageTRE(*[summarize_tre(compute_tre_mm(mapped, moving_mm)) for mapped in voxels])
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from error
    return CaseScore(name, continuous, snapped, folding_percent, sd_log_jacobian, time_s, trained_on)


def score_pair(pair: Mapping[Any, Any], recipe: Recipe | None = None) -> CaseScore:
    """Score one pair from the output of the evaluator.

    Args:
        pair: `name`, `moving_affine` (4, 4); `fixed_landmarks`, `moving_landmarks`, `aligned_landmarks`,
            `mapped_landmarks` (N, 3) RAS mm, used only with both landmark sets; optionally `OPTIONAL_SCORES`.
        recipe: of the weights; `fixed_sha256` and `moving_sha256` of the pair are then required.
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
        trained_on=None if recipe is None else recipe.was_trained_on([pair["fixed_sha256"], pair["moving_sha256"]]),
        **{key: float(pair[key]) for key in OPTIONAL_SCORES if key in pair},
    )
