"""Transitivity of a series: whether the way through the reference leads where a direct registration does."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from monai.data import MetaTensor
from torch import Tensor

from bundle.geometry import WorldTransform, apply_affine

DEFINITION = (
    "for neighbours i and j of the cycle and points x of the reference's lungs: |D_ij(T_i(x)) - T_j(x)|, mm, with T_i "
    "from the reference to i, and D_ij an independent registration of j to i, not started from any other; T_j(x) is "
    "where T_j after the inverse of T_i leads from T_i(x)"
)
MAX_POINTS = 50_000  # of the lungs, evenly spread


def lung_points_mm(lungs: MetaTensor) -> Tensor:
    """At most `MAX_POINTS` voxel centres (N, 3), RAS mm, of a mask (1, H, W, D)."""
    inside = (lungs[0].as_tensor() > 0).nonzero()
    chosen = inside[torch.linspace(0, len(inside) - 1, min(len(inside), MAX_POINTS), dtype=torch.float64).long()]
    return apply_affine(lungs.affine.double(), chosen.double())


def transitivity_mm(
    to_first: WorldTransform, to_second: WorldTransform, direct: WorldTransform, points_mm: Tensor
) -> Tensor:
    """Distances (N,) between both ways from points (N, 3) of the reference, RAS mm, to the second member.

    Args:
        to_first, to_second: reference to each member.
        direct: first member to the second one.
    """
    through_reference = to_second.transform_points_mm(points_mm)
    return (direct.transform_points_mm(to_first.transform_points_mm(points_mm)) - through_reference).norm(dim=1)


def summarize_transitivity(
    pairs: Mapping[tuple[str, str], WorldTransform],
    transforms: Mapping[str, WorldTransform],
    lungs: MetaTensor,
) -> dict[str, Any]:
    """Mean, 95th percentile and maximum of `transitivity_mm` of each pair, and over all pairs.

    Args:
        pairs: direct transform of each pair of members.
        transforms: reference to each member, the reference's own included.
        lungs: (1, H, W, D), mask of the reference.
    """
    points_mm = lung_points_mm(lungs)
    errors = {
        (first, second): transitivity_mm(transforms[first], transforms[second], direct, points_mm)
        for (first, second), direct in pairs.items()
    }
    rows = [{"from": first, "to": second, **_figures(error)} for (first, second), error in errors.items()]
    total = _figures(torch.cat(list(errors.values()))) if errors else {}
    return {"definition": DEFINITION, "points": len(points_mm), **total, "pairs": rows}


def _figures(errors_mm: Tensor) -> dict[str, float]:
    return {
        "mean_mm": round(float(errors_mm.mean()), 3),
        "p95_mm": round(float(torch.quantile(errors_mm, 0.95)), 3),
        "max_mm": round(float(errors_mm.max()), 3),
    }
