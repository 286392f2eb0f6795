"""Write the maps of lung function of a registered pair, their table and their pictures."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from monai.data import MetaTensor
from numpy.typing import NDArray

from bundle.data import FUNCTION_REPORT, FUNCTION_TABLE
from bundle.function.breath import Breath, make_breath
from bundle.function.exhale import find_exhale, lung_size
from bundle.function.maps import MapKind, MapOptions, compute_maps, rounded
from bundle.function.measures.response import CLASSES, COLOURS, FILTERS
from bundle.function.pictures import MapPictures
from bundle.function.regions import find_regions
from bundle.function.report import SUMMARY, LungPair, function_report
from bundle.function.summary import map_rows, region_totals, to_csv
from bundle.io import atomic_path
from bundle.io.atomic import locked_folder
from bundle.io.nifti import save_nifti
from bundle.memory import return_freed_memory
from bundle.processors import ahead, side_by_side

log = logging.getLogger(__name__)

LABELS = "prm_labels.ctbl"


def write_lung_function(
    folder: Path,
    pair: LungPair,
    options: MapOptions,
    *,
    lobes: MetaTensor | None = None,
    lobe_names: Mapping[int, str] | None = None,
) -> dict[str, Any]:
    """Write maps, table and pictures; what an earlier call wrote to the folder is removed.

    Each map on the fixed grid: float32, NaN outside the lungs and where it is not defined, rounded to the step of
    `MapKind`; the response map uint8, 0 outside. `lung_function.json` is written last.

    Args:
        folder: created if missing.
        lobes: (1, H, W, D) on the fixed grid, whole numbers, 0 outside; `lobe_names` by number.
    Returns: the content of `lung_function.json`.
    """
    scans = [(pair.fixed, pair.fixed_mask), (pair.moving, pair.moving_mask)]
    sizes = side_by_side(lambda part: lung_size(*part), scans)
    exhale = find_exhale(sizes[0], sizes[1], options.exhale)
    breath = make_breath(pair.fixed, pair.moving, pair.fixed_mask, pair.transform, exhale.scan)
    return_freed_memory()
    regions = find_regions(breath, pair.lungs, lobes, lobe_names)
    folder.mkdir(parents=True, exist_ok=True)
    with locked_folder(folder):
        _remove_earlier(folder)
        rows, drawn, files = region_totals(breath, regions), [], []
        smoothing = f"Gaussian, sigma {options.smooth_mm:g} mm (response map: {FILTERS[options.prm_filter]})"
        pictures = MapPictures(breath, f"exhale to inhale, exhale = {exhale.scan} scan")
        for kind, values in ahead(compute_maps(breath, options)):
            values = values if kind.name == "prm" else rounded(kind, values)
            name = options.file_of(kind)
            _write_map(folder / name, kind, values, breath, pair.fixed, options.header_of(kind, exhale.scan))
            rows += map_rows(kind, values, breath, regions, options.smooth_mm)
            drawn.append(pictures.slices_of(kind, values))
            pictures.draw(folder / name.replace(".nii.gz", ".png"), drawn[-1], options.smoothing_of(kind))
            files += [name, name.replace(".nii.gz", ".png")]
            return_freed_memory()
        if "prm" in options.names:
            _write_text(folder / LABELS, _colour_table())
            files.append(LABELS)
        pictures.draw_summary(folder / SUMMARY, drawn, f"{pair.name}: lung function ({pair.verdict})", smoothing)
        _write_text(folder / FUNCTION_TABLE, to_csv(rows))
        report = function_report(
            pair, options, exhale, dict(zip(("fixed", "moving"), sizes, strict=True)), rows, breath
        )
        report["files"] = [*files, SUMMARY, FUNCTION_TABLE]
        _write_text(folder / FUNCTION_REPORT, json.dumps(report, indent=2) + "\n")
    for warning in report["warnings"]:
        log.warning("%s: %s", pair.name, warning)
    return report


def _write_map(path: Path, kind: MapKind, values: NDArray, breath: Breath, fixed: MetaTensor, header: str) -> None:
    volume = breath.on_fixed_grid(values, 0 if kind.name == "prm" else np.nan)
    nifti = nib.Nifti1Image(volume, fixed.affine.double().numpy())
    nifti.header["descrip"] = header.encode()
    save_nifti(path, nifti)


def _colour_table() -> str:
    """A colour table of 3D Slicer."""
    lines = ["# Parametric response map", "0 background 0 0 0 0"]
    for number, name in CLASSES.items():
        red, green, blue = COLOURS[number]
        lines.append(f"{number} {name.replace(' ', '_')} {red} {green} {blue} 255")
    return "\n".join(lines) + "\n"


def _remove_earlier(folder: Path) -> None:
    """Remove the files of an earlier call, its report first."""
    path = folder / FUNCTION_REPORT
    if path.is_file():
        names = json.loads(path.read_text()).get("files", [])
        path.unlink()
        for name in names:
            (folder / Path(name).name).unlink(missing_ok=True)


def _write_text(path: Path, text: str) -> None:
    with atomic_path(path) as temporary:
        temporary.write_text(text)
