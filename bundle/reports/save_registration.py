"""Write the result of one registered pair."""

from __future__ import annotations

import json
import logging
import shutil
from collections.abc import Hashable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from monai.transforms import Transform

from bundle.data.pairs_to_register import DICOM, REPORT
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
from bundle.io.dicom_objects import DICOM_RESULTS, registration_field, source_of, write_dicom_results
from bundle.quality import QUALITY
from bundle.reports.html import PAGE, write_report_page
from bundle.reports.overview import draw_overview
from bundle.reports.registration_report import registration_report, report_title
from bundle.reports.summary import summarize_report
from bundle.transforms import as_int16, inverse_transform, jacobian_on_grid, world_transform

log = logging.getLogger(__name__)

WRITERS = 2  # threads beside the one that draws
DENSE_RESULTS = {"displacement": "displacement.nii.gz", "inverse": "inverse_displacement.nii.gz"}
ALWAYS = "transform"  # `write` of earlier versions: written in any case
JACOBIAN_STEP = 1.0 / 256  # of the stored int16: determinants of -128 to 128
RESULTS = (  # of any run: those that a run does not write are removed, so that a folder holds one run's results
    "warped.nii.gz",
    "jacobian.nii.gz",
    "transform.h5",
    "inverse_transform.h5",
    *DENSE_RESULTS.values(),
    "moving_landmarks.csv",
    "moving_landmarks.mrk.json",
    "overview.png",
    PAGE,
    QUALITY,
    "FAILED.txt",
    *DICOM_RESULTS,
)


class SaveRegistrationd(Transform):
    """Write a pair's results to its `output_dir`; every file appears complete or not at all.

    On the fixed scan's grid: `warped.nii.gz` (HU), `jacobian.nii.gz` (determinant of the whole transform: int16 in
    steps of `JACOBIAN_STEP`, clipped) and `overview.png`. `report.html` and `quality.json`: see `write_report_page`.
    `transform.h5` and `inverse_transform.h5`: ITK transforms, see `bundle.io.write_transform`. With fixed landmarks
    `moving_landmarks.csv` and `.mrk.json` (3D Slicer): positions in the moving scan (LPS mm), with the names and
    descriptions of the fixed ones. `FAILED.txt` marks the folder if that is the verdict. `report.json` is written last.
    Earlier results in the folder are removed; of several processes that write to one folder, the last one's results
    remain.

    Args:
        weights, recipe: file of the network's weights and its recipe, for the report.
        write: further results: "displacement" for `displacement.nii.gz` on the fixed scan's grid, "inverse" for
            `inverse_displacement.nii.gz` on the moving scan's: ITK vector fields, see `bundle.io.write_displacement`;
            "dicom" for `warped_dicom/` and `registration.dcm`, see `bundle.io.dicom_objects`.
        settings: of the run, for the report, see `registration_report`.
    Raises: ValueError for an unknown name in `write`.
    """

    def __init__(
        self,
        *,
        weights: str | Path,
        recipe: Recipe,
        write: Sequence[str] = (),
        settings: Mapping[str, Any] | None = None,
    ) -> None:
        names = [write] if isinstance(write, str) else list(write)
        choices = (*DENSE_RESULTS, DICOM, ALWAYS)
        if not set(names) <= set(choices):
            raise ValueError(f"write: expected some of {', '.join(choices)}, got {write!r}")
        self.weights = Path(weights)
        self.recipe = recipe
        self.write = names
        self.settings = settings

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        pair = dict(data)
        folder = Path(pair["output_dir"])
        folder.mkdir(parents=True, exist_ok=True)
        with locked_folder(folder):  # two runs into one folder: the last one's files, never a mixture
            self._write(pair, folder)
        return pair

    def _write(self, pair: Mapping[Hashable, Any], folder: Path) -> None:
        for name in (REPORT, *RESULTS):  # the report first: its presence means that the folder is complete
            _remove(folder / name)
        report = registration_report(pair, self.weights, self.recipe, self.settings)
        with ThreadPoolExecutor(WRITERS) as pool:
            tasks = [pool.submit(write, pair, folder) for write in (_write_scans, _write_transforms)]
            _draw(pair, folder, report_title(report))  # here, since Python draws on one thread only
            write_report_page(pair, folder, report)
            if "mapped_landmarks" in pair:
                names = names_from_json(pair.get("landmark_names", "[]"))
                write_landmarks_csv(folder / "moving_landmarks.csv", pair["mapped_landmarks"], names=names)
                write_landmarks_slicer(folder / "moving_landmarks.mrk.json", pair["mapped_landmarks"], names=names)
        for task in tasks:
            task.result()  # its errors
        for name in set(self.write) & set(DENSE_RESULTS):  # one after the other: they take most memory
            to, scan = (
                (world_transform, pair["fixed"]) if name == "displacement" else (inverse_transform, pair["moving"])
            )
            displacement_mm = to(pair).displacement_mm(scan.shape[1:], scan.affine)
            write_displacement(folder / DENSE_RESULTS[name], displacement_mm, scan.affine)
        if DICOM in self.write:
            _write_dicom(pair, folder)
        if report["verdict"] == "failed":
            with atomic_path(folder / "FAILED.txt") as path:
                path.write_text("\n".join(["This registration failed; do not use its files.", *report["reasons"], ""]))
        with atomic_path(folder / REPORT) as path:
            path.write_text(json.dumps(report, indent=2) + "\n")
        log.info("%s", summarize_report(report, folder))


def _write_scans(pair: Mapping[Hashable, Any], folder: Path) -> None:
    fixed = pair["fixed"]
    write_image(folder / "warped.nii.gz", pair["warped"][0], fixed.affine, dtype=np.int16)
    slabs = jacobian_on_grid(world_transform(pair), fixed.shape[1:], fixed.affine)
    stored = as_int16(slabs, fixed.shape[1:], step=JACOBIAN_STEP)
    write_image(folder / "jacobian.nii.gz", stored, fixed.affine, dtype=np.int16, step=JACOBIAN_STEP)


def _write_transforms(pair: Mapping[Hashable, Any], folder: Path) -> None:
    fixed, moving = (ImageHeader.of(pair[key]).corners_mm for key in ("fixed", "moving"))
    write_transform(folder / "transform.h5", world_transform(pair), fixed)
    write_transform(folder / "inverse_transform.h5", inverse_transform(pair), moving, field_last=True)


def _write_dicom(pair: Mapping[Hashable, Any], folder: Path) -> None:
    fixed, transform = pair["fixed"], world_transform(pair)
    warped = pair["warped"][0].as_tensor().cpu().numpy()
    displacement_mm = transform.displacement_mm(fixed.shape[1:], fixed.affine).cpu().numpy()
    field_mm, affine = registration_field(transform, ImageHeader.of(fixed).corners_mm)
    sources = {key: source_of(pair[key]) for key in ("fixed", "moving")}
    write_dicom_results(folder, warped, displacement_mm, field_mm.numpy(), affine.numpy(), **sources)


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    path.unlink(missing_ok=True)


def _draw(pair: Mapping[Hashable, Any], folder: Path, title: str) -> None:
    draw_overview(
        folder / "overview.png",
        fixed=pair["fixed"],
        moving=pair["moving"],
        warped=pair["warped"],
        transform=world_transform(pair),
        mask=pair["fixed_mask"][0],
        title=title,
    )
