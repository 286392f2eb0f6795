"""Measure how contours agree after a registration, for its quality sheet after AAPM TG-132."""

from __future__ import annotations

import sys
from math import isnan
from pathlib import Path
from typing import TYPE_CHECKING

sys.path.insert(0, str(Path(__file__).absolute().parents[1]))  # run as a file, from any folder

from scripts.cli import quiet, run

if TYPE_CHECKING:
    from bundle.data import ResultFolder
    from bundle.metrics import ContourAgreement


def quality(
    result: str,
    fixed_labels: str | None = None,
    moving_labels: str | None = None,
    label_names: str | None = None,
    fixed: str | None = None,
    moving: str | None = None,
) -> None:
    """Add the agreement of contours to quality.json and report.html in RESULT, the output_dir of scripts.register.

    Mean distance to agreement, Dice and Hausdorff 95 of each label of FIXED_LABELS with that of MOVING_LABELS warped by
    the transform, on the grid of FIXED_LABELS; and of the lungs, if both lung masks were given to the registration.

    Args:
        result: folder with the result of a registration.
        fixed_labels: label map of the fixed scan, 0 outside; whole numbers.
        moving_labels: label map of the moving scan with the same numbers.
        label_names: JSON file with names of the labels: {"1": "heart", "2": "oesophagus"}.
        fixed: the fixed scan, if it is no longer where it was registered.
        moving: the moving scan, likewise.
    Raises: FileNotFoundError, ValueError: what is wrong with which file; before anything is written.
    """
    if (fixed_labels is None) != (moving_labels is None):
        raise ValueError("expected both --fixed_labels and --moving_labels or neither, got one of them")
    if label_names is not None and fixed_labels is None:
        raise ValueError("--label_names: expected --fixed_labels and --moving_labels, whose labels it names")
    quiet()
    import json
    import logging

    from bundle.data import ResultFolder
    from bundle.formats import read_json
    from bundle.io import atomic_path, check_writable
    from bundle.quality import QUALITY, with_contours
    from bundle.reports.html import PAGE, replace_sheet

    folder = ResultFolder.read(result, fixed=fixed, moving=moving)
    check_writable(folder.folder)
    if not (folder.folder / QUALITY).is_file():
        raise FileNotFoundError(
            f"{folder.folder}: no {QUALITY}: written by an earlier version; register the pair again"
        )
    sheet = read_json(folder.folder / QUALITY, "quality sheet")
    if not isinstance(sheet, dict) or not {"tre", "field", "voxel_mm"} <= sheet.keys():
        raise ValueError(
            f"{folder.folder / QUALITY}: expected a quality sheet of scripts.register, found another content"
        )
    names = _read_names(label_names)
    masks = [folder.files.get(f"{key}_mask") for key in ("fixed", "moving")]
    contours = {}
    if masks[0] and masks[1]:
        measured = _agreement(folder, masks[0], masks[1], {1: "lungs"}, is_mask=True)["lungs"]
        contours["lungs"] = measured._replace(dice=folder.report["lung_dice"].get("registered", measured.dice))
    if fixed_labels is not None and moving_labels is not None:
        labels = _agreement(folder, fixed_labels, moving_labels, names)
        if contours.keys() & labels:
            raise ValueError(f"{label_names}: expected another name than 'lungs', which the lung masks have")
        contours |= labels
    if not contours:
        raise ValueError(
            f"{result}: nothing to measure: expected --fixed_labels and --moving_labels, or a registration with both "
            "lung masks"
        )
    sheet = with_contours(sheet, contours)
    if (folder.folder / PAGE).is_file():
        replace_sheet(folder.folder / PAGE, sheet)
    with atomic_path(folder.folder / QUALITY) as path:
        path.write_text(json.dumps(sheet, indent=2) + "\n")
    for name, found in contours.items():
        distances = f"mean distance to agreement {found.mda_mm:.2f} mm, Hausdorff 95 {found.hd95_mm:.2f} mm"
        if isnan(found.mda_mm):
            distances = "in one of the two scans only, or warped out of the other"
        logging.getLogger(__name__).info("%s: Dice %.3f, %s", name, found.dice, distances)


def _read_names(path: str | None) -> dict[int, str]:
    """Names of labels by their number."""
    if path is None:
        return {}
    from bundle.formats import read_json

    if not Path(path).is_file():
        raise FileNotFoundError(f"{path}: no such file (expected a JSON table of label names)")
    content = read_json(Path(path), "table of label names")
    if not isinstance(content, dict) or not all(
        key.isdecimal() and isinstance(name, str) and name for key, name in content.items()
    ):
        raise ValueError(f'{path}: expected names by label number, such as {{"1": "heart"}}')
    names = {int(key): name for key, name in content.items()}
    if len(set(names.values())) < len(content):
        raise ValueError(f"{path}: expected a name of its own for every label, found a name or a label twice")
    return names


def _agreement(
    folder: ResultFolder, fixed: str, moving: str, names: dict[int, str], *, is_mask: bool = False
) -> dict[str, ContourAgreement]:
    """Agreement of each label by its name, or by "label" and its number; of masks, of all that is above 0."""
    from bundle.apply import warp_labels
    from bundle.io import ImageHeader, check_header, check_mask, check_mask_file, extend, read_labels, read_mask
    from bundle.metrics import contour_agreement

    for key, file in (("fixed", fixed), ("moving", moving)):
        check_mask(check_mask_file(file), check_header(folder.files[key], folder.files.get(f"{key}_series")))
    read = read_mask if is_mask else read_labels
    fixed_map, moving_map = read(fixed), read(moving)
    if is_mask:
        fixed_map, moving_map = (fixed_map > 0).byte(), (moving_map > 0).byte()
    grid = ImageHeader.of(fixed_map)
    transform = extend(folder.transform, grid.corners_mm, name=str(folder.folder))
    own, warped = fixed_map[0].as_tensor(), warp_labels(transform, moving_map, grid, one_hot=True)
    found = {*own.unique().tolist(), *moving_map.as_tensor().unique().tolist()}
    fractions = [value for value in found if not float(value).is_integer()]
    if fractions:
        raise ValueError(f"{fixed}: expected whole numbers as labels, found {fractions[0]:g}")
    numbers = sorted({int(value) for value in found} - {0})
    if not numbers:
        raise ValueError(f"{fixed}, {moving}: expected labels above 0, found none")
    missing = sorted(set(names) - set(numbers))
    if missing:
        raise ValueError(f"{fixed}: expected the named labels {missing}, found {numbers}")
    titles = {number: names.get(number, f"label {number}") for number in numbers}
    if len(set(titles.values())) < len(titles):
        raise ValueError(f"{fixed}: expected a name of its own for every label, found {list(titles.values())}")
    return {
        title: contour_agreement(own == number, warped == number, grid.spacing_mm) for number, title in titles.items()
    }


if __name__ == "__main__":
    run(quality)
