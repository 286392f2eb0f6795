"""Write the result of one registered pair."""

from __future__ import annotations

import json
import logging
from collections.abc import Hashable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from monai.transforms import Transform

from bundle.data.pairs_to_register import REPORT
from bundle.io import (
    ImageHeader,
    Recipe,
    names_from_json,
    write_displacement,
    write_image,
    write_landmarks_csv,
    write_landmarks_slicer,
    write_transform,
)
from bundle.io.atomic import atomic_path, locked_folder
from bundle.reports.overview import draw_overview
from bundle.reports.registration_report import registration_report, report_title
from bundle.reports.summary import summarize_report
from bundle.transforms import world_transform

log = logging.getLogger(__name__)

FURTHER_RESULTS = ("transform",)
RESULTS = (  # of any run: those that a run does not write are removed, so that a folder holds one run's results
    "warped.nii.gz",
    "jacobian.nii.gz",
    "displacement.nii.gz",
    "inverse_displacement.nii.gz",
    "moving_landmarks.csv",
    "moving_landmarks.mrk.json",
    "transform.h5",
    "overview.png",
    "FAILED.txt",
)


class SaveRegistrationd(Transform):
    """Write a pair's results to its `output_dir`; every file appears complete or not at all.

    On the fixed scan's grid: `warped.nii.gz` (HU), `displacement.nii.gz` (ITK vector field, LPS mm), `jacobian.nii.gz`
    (determinant of the whole transform) and `overview.png`; on the moving scan's grid `inverse_displacement.nii.gz`.
    With fixed landmarks `moving_landmarks.csv` and `.mrk.json` (3D Slicer): positions in the moving scan (LPS mm), with
    the names and descriptions of the fixed ones. `FAILED.txt` marks the folder if that is the verdict. `report.json` is
    written last. Earlier results in the folder are removed; of several processes that write to one folder, the last
    one's results remain.

    Args:
        weights, recipe: file of the network's weights and its recipe, for the report.
        write: further results: "transform" for `transform.h5`, see `bundle.io.write_transform`.
    Raises: ValueError for an unknown name in `write`.
    """

    def __init__(self, *, weights: str | Path, recipe: Recipe, write: Sequence[str] = ()) -> None:
        names = [write] if isinstance(write, str) else list(write)
        if not set(names) <= set(FURTHER_RESULTS):
            raise ValueError(f"write: expected some of {', '.join(FURTHER_RESULTS)}, got {write!r}")
        self.weights = Path(weights)
        self.recipe = recipe
        self.write = names

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        pair = dict(data)
        folder = Path(pair["output_dir"])
        folder.mkdir(parents=True, exist_ok=True)
        with locked_folder(folder):  # two runs into one folder: the last one's files, never a mixture
            self._write(pair, folder)
        return pair

    def _write(self, pair: Mapping[Hashable, Any], folder: Path) -> None:
        for name in (REPORT, *RESULTS):  # the report first: its presence means that the folder is complete
            (folder / name).unlink(missing_ok=True)
        affine = pair["fixed"].affine
        write_image(folder / "warped.nii.gz", pair["warped"][0], affine, dtype=np.int16)
        write_image(folder / "jacobian.nii.gz", pair["jacobian"][0], affine)
        write_displacement(folder / "displacement.nii.gz", pair["displacement_mm"], affine)
        write_displacement(
            folder / "inverse_displacement.nii.gz", pair["inverse_displacement_mm"], pair["moving"].affine
        )
        if "mapped_landmarks" in pair:
            names = names_from_json(pair.get("landmark_names", "[]"))
            write_landmarks_csv(folder / "moving_landmarks.csv", pair["mapped_landmarks"], names=names)
            write_landmarks_slicer(folder / "moving_landmarks.mrk.json", pair["mapped_landmarks"], names=names)
        if "transform" in self.write:
            write_transform(folder / "transform.h5", world_transform(pair), ImageHeader.of(pair["fixed"]).corners_mm)
        report = registration_report(pair, self.weights, self.recipe)
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
        if report["verdict"] == "failed":
            with atomic_path(folder / "FAILED.txt") as path:
                path.write_text("\n".join(["This registration failed; do not use its files.", *report["reasons"], ""]))
        with atomic_path(folder / REPORT) as path:
            path.write_text(json.dumps(report, indent=2) + "\n")
        log.info("%s", summarize_report(report, folder))
