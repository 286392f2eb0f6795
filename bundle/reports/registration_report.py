"""The report of one registered pair."""

from __future__ import annotations

import json
import math
from collections.abc import Hashable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from monai.config import get_config_values, get_optional_config_values
from torch import Tensor

from bundle import __version__
from bundle.geometry import spacing_mm
from bundle.io import Recipe
from bundle.reports.case_score import score_pair

DIGITS = 6


def registration_report(
    pair: Mapping[Hashable, Any], weights: Path, recipe: Recipe, settings: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """The report of a pair as `ScoreRegistrationd` leaves it.

    Args:
        pair: its scans, scores, verdict and initial alignment, by the names of the inference workflow.
        weights, recipe: file of the network's weights and its recipe.
        settings: of the run, beside the recipe's, by the names of `configs/inference.json`.
    """
    versions = {**get_config_values(), **get_optional_config_values()}
    score = score_pair(pair)
    return {
        "name": pair["name"],
        "verdict": pair["verdict"].level,
        "reasons": list(pair["verdict"].reasons),
        "fixed": str(pair["fixed"].meta.get("filename_or_obj")),
        "moving": str(pair["moving"].meta.get("filename_or_obj")),
        "files": json.loads(pair.get("given") or "{}"),
        "sha256": {key: pair[f"{key}_sha256"] for key in ("fixed", "moving")},
        "dicom_series": {key: _dicom_series(pair[key].meta) for key in ("fixed", "moving")},
        "scores": {key: _plain(value) for key, value in score.row().items() if key not in ("name", "weights")},
        "lncc": {"aligned": _plain(pair["lncc_aligned"]), "registered": _plain(pair["lncc_registered"])},
        "evidence": {key: _plain(value) for key, value in asdict(pair["evidence"]).items()},
        "lung_dice": {stage: _plain(value) for stage, value in pair.get("lung_dice", {}).items()},
        "initial_affine_ras_mm": pair["initial_affine"].tolist(),
        "grid_spacing_mm": [_plain(size) for size in spacing_mm(pair["grid_to_fixed"])],
        "lungs_found": {key: bool(pair[f"{key}_lungs_found"]) for key in ("fixed", "moving")},
        "warnings": _warnings(pair),
        "settings": {
            "network_spacing_mm": recipe.network_spacing_mm,
            "spatial_size": recipe.spatial_size,
            "margin_mm": recipe.margin_mm,
            "alignment": recipe.alignment,
            "window_hu": dict(recipe.window_hu),
            **(settings or {}),
        },
        "seconds_by_step": {step: round(float(value), 3) for step, value in pair["seconds_by_step"].items()},
        "weights": {
            "file": weights.name,
            "sha256": recipe.weights_sha256,
            "trained_on_this_pair": recipe.was_trained_on([pair["fixed_sha256"], pair["moving_sha256"]]),
        },
        "versions": {"bundle": __version__}
        | {name: version for name, version in versions.items() if "NOT INSTALLED" not in version},
    }


def report_title(report: Mapping[str, Any]) -> str:
    """A report in one line."""
    scores, lncc = report["scores"], report["lncc"]
    parts = [f"{report['name']}: {report['verdict']}, LNCC {lncc['aligned']:.3f} → {lncc['registered']:.3f}"]
    if scores["tre_mm"] is not None:
        parts.append(
            f"TRE {scores['tre_none_mm']:.2f} → aligned {scores['tre_aligned_mm']:.2f} → {scores['tre_mm']:.2f} mm"
        )
    parts.append(f"folding {scores['folding_percent']:.3f} %, SDlogJ {scores['sd_log_jacobian']:.3f}")
    return ", ".join(parts)


def _warnings(pair: Mapping[Hashable, Any]) -> list[str]:
    warnings = [f"no lung found in the {key} scan" for key in ("fixed", "moving") if not pair[f"{key}_lungs_found"]]
    warnings += [*(pair.get("warnings") or []), *(pair.get("implausible") or [])]
    return warnings


def _dicom_series(meta: Mapping[Hashable, Any]) -> dict[str, str] | None:
    """Which series and phase of a DICOM folder was read; None for other formats."""
    if "dicom_series" not in meta:
        return None
    return {key: str(meta[f"dicom_{key}"]) for key in ("series", "description", "phase")}


def _plain(value: str | float | Tensor) -> str | float | None:
    """A value as JSON can hold it."""
    if isinstance(value, (float, Tensor)):
        return None if math.isnan(value) else float(f"{float(value):.{DIGITS}g}")
    return value
