"""Write the result of one registered pair."""

from __future__ import annotations

import json
import logging
from collections.abc import Hashable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
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
from bundle.reports.overview import draw_overview
from bundle.reports.registration_report import registration_report, report_title
from bundle.transforms import world_transform

log = logging.getLogger(__name__)


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
        report = registration_report(pair, self.weights)
        draw_overview(
            folder / "overview.png",
            fixed=pair["fixed"][0],
            moving_before=pair["aligned"][0],
            warped=pair["warped"][0],
            displacement_mm=pair["displacement_mm"],
            affine=affine,
            mask=pair["fixed_mask"][0],
            title=report_title(report),
        )
        with atomic_path(folder / REPORT) as path:
            path.write_text(json.dumps(report, indent=2) + "\n")
        log.info("%s: %s", folder, report_title(report))
        if pair["lncc_registered"] < pair["lncc_aligned"]:
            log.warning("%s: the scans agree less than after the alignment alone: do not trust this field", folder)
        return pair
