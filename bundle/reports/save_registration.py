"""Write the result of one registered pair."""

from __future__ import annotations

import hashlib
import json
import logging
import math
from collections.abc import Hashable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from monai.config import get_config_values, get_optional_config_values
from monai.transforms import Transform

from bundle.data.pairs_to_register import REPORT
from bundle.io import (
    ImageHeader,
    write_displacement,
    write_image,
    write_landmarks_csv,
    write_landmarks_slicer,
    write_transform,
)
from bundle.io.atomic import atomic_path
from bundle.reports.case_score import score_pair
from bundle.reports.overview import draw_overview
from bundle.transforms.apply_ddf import world_transform

log = logging.getLogger(__name__)

METADATA = Path(__file__).parents[2] / "configs" / "metadata.json"
DIGITS = 6


class SaveRegistrationd(Transform):
    """Write a pair's results to its `output_dir`; every file appears whole or not at all.

    On the fixed scan's grid: `warped.nii.gz` (HU), `displacement.nii.gz` (ITK vector field, LPS mm), `jacobian.nii.gz`
    (determinant of the whole transform) and `overview.png`; on the moving scan's grid `inverse_displacement.nii.gz`.
    With fixed landmarks `moving_landmarks.csv` and `.mrk.json` (3D Slicer), where they lie in the moving scan (LPS mm).
    `report.json` comes last.

    Args:
        weights: file of the network's weights; its hash goes into the report.
        write: what to write beside these: "transform" for `transform.h5`, see `bundle.io.write_transform`.
    Raises: ValueError for another `write`.
    """

    def __init__(self, *, weights: str | Path, write: str | None = None) -> None:
        if write not in (None, "transform"):
            raise ValueError(f"write: expected 'transform' or nothing, got {write!r}")
        self.weights = Path(weights)
        self.write = write

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        pair = dict(data)
        folder = Path(pair["output_dir"])
        folder.mkdir(parents=True, exist_ok=True)
        (folder / REPORT).unlink(missing_ok=True)  # it would call a mixture of old and new files complete
        affine = pair["fixed"].affine
        write_image(folder / "warped.nii.gz", pair["warped"][0], affine, dtype=np.int16)
        write_image(folder / "jacobian.nii.gz", pair["jacobian"][0], affine)
        write_displacement(folder / "displacement.nii.gz", pair["displacement_mm"], affine)
        write_displacement(
            folder / "inverse_displacement.nii.gz", pair["inverse_displacement_mm"], pair["moving"].affine
        )
        if "mapped_landmarks" in pair:
            write_landmarks_csv(folder / "moving_landmarks.csv", pair["mapped_landmarks"])
            write_landmarks_slicer(folder / "moving_landmarks.mrk.json", pair["mapped_landmarks"])
        if self.write == "transform":
            write_transform(folder / "transform.h5", world_transform(pair), ImageHeader.of(pair["fixed"]).corners_mm)
        report = self._report(pair)
        draw_overview(
            folder / "overview.png",
            fixed=pair["fixed"][0],
            moving_before=pair["aligned"][0],
            warped=pair["warped"][0],
            displacement_mm=pair["displacement_mm"],
            affine=affine,
            mask=pair["fixed_mask"][0],
            title=_title(report),
        )
        with atomic_path(folder / REPORT) as path:
            path.write_text(json.dumps(report, indent=2) + "\n")
        log.info("%s: %s", folder, _title(report))
        if pair["lcc_registered"] < pair["lcc_aligned"]:
            log.warning("%s: the scans agree less than after the alignment alone: do not trust this field", folder)
        return pair

    def _report(self, pair: Mapping[Hashable, Any]) -> dict[str, Any]:
        versions = {**get_config_values(), **get_optional_config_values()}
        score = score_pair(pair)
        return {
            "name": pair["name"],
            "fixed": str(pair["fixed"].meta.get("filename_or_obj")),
            "moving": str(pair["moving"].meta.get("filename_or_obj")),
            "scores": {key: _plain(value) for key, value in score.row().items() if key != "name"},
            "lcc": {"aligned": _plain(pair["lcc_aligned"]), "registered": _plain(pair["lcc_registered"])},
            "lung_dice": {stage: _plain(value) for stage, value in pair.get("lung_dice", {}).items()},
            "initial_affine_ras_mm": pair["initial_affine"].tolist(),
            "lungs_found": {key: bool(pair[f"{key}_lungs_found"]) for key in ("fixed", "moving")},
            "seconds_by_step": {step: round(float(value), 3) for step, value in pair["seconds_by_step"].items()},
            "weights": {"file": self.weights.name, "sha256": hashlib.sha256(self.weights.read_bytes()).hexdigest()},
            "versions": {"bundle": json.loads(METADATA.read_text())["version"]}
            | {name: version for name, version in versions.items() if "NOT INSTALLED" not in version},
        }


def _title(report: Mapping[str, Any]) -> str:
    """One line that sums the result up."""
    scores, lcc = report["scores"], report["lcc"]
    parts = [f"{report['name']}: LCC {lcc['aligned']:.3f} → {lcc['registered']:.3f}"]
    if scores["tre_mm"] is not None:
        parts.append(
            f"TRE {scores['tre_none_mm']:.2f} → aligned {scores['tre_aligned_mm']:.2f} → {scores['tre_mm']:.2f} mm"
        )
    parts.append(f"folding {scores['folding_percent']:.3f} %, SDlogJ {scores['sd_log_jacobian']:.3f}")
    return ", ".join(parts)


def _plain(value: str | float) -> str | float | None:
    """A value as JSON can hold it."""
    if isinstance(value, float):
        return None if math.isnan(value) else float(f"{value:.{DIGITS}g}")
    return value
