"""Maps of lung function of a registered pair."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

sys.path.insert(0, str(Path(__file__).absolute().parents[1]))  # run as a file, from any folder

from scripts.cli import quiet, run


def lung_function(
    result: str,
    maps: str | Sequence[str] = "all",
    smooth_mm: float = 4.0,
    lobes: str | None = None,
    lobe_names: str | None = None,
    prm_filter: Literal["median", "gaussian", "none"] = "median",
    prm_inhale_hu: float = -950.0,
    prm_exhale_hu: float = -856.0,
    mass_correction: bool = False,
    exhale: Literal["fixed", "moving"] | None = None,
    fixed: str | None = None,
    moving: str | None = None,
    fixed_mask: str | None = None,
    moving_mask: str | None = None,
    output_dir: str | None = None,
) -> None:
    """Write maps of ventilation, gas trapping and strain from the registration in the folder RESULT.

    Maps lie on the grid of the fixed scan; their direction is exhale to inhale, whichever scan is fixed. Formulas,
    sources and limits: docs/lung_function.md. The last line says what was found. Unless they go to
    another folder, they also become a section of RESULT/report.html.

    Args:
        result: result folder of `python -m scripts.register`; its scans must be chest CTs in HU.
        maps: "all", or some, separated by commas: volume_change, saj, sacj, sai, hu_ventilation, density_change, prm,
            strain.
        smooth_mm: sigma of the Gaussian within the lungs, mm, of all maps but prm; 0 for none.
        lobes: label map of lobes on the fixed scan, in voxels of any kind; the table has a row for each.
        lobe_names: their names by number: "1=right upper,2=right middle".
        prm_filter: filter of both scans for prm: "median" of 3 x 3 x 3 voxels, "gaussian" of sigma 1 voxel, or "none".
        prm_inhale_hu: inhale voxels below it are emphysema.
        prm_exhale_hu: exhale voxels below it trap gas.
        mass_correction: scale the inhale density for hu_ventilation to the mass of exhale.
        exhale: which scan is exhale; by default the one with the smaller lungs.
        fixed: where the fixed scan is now, if it has moved.
        moving: where the moving scan is now.
        fixed_mask: where its mask is now.
        moving_mask: where its mask is now.
        output_dir: folder for the maps; RESULT/lung_function by default.
    """
    from bundle.formats import check_files

    check_files({"lobes": lobes, "fixed": fixed, "moving": moving}, {"result": result})
    from bundle.data import FUNCTION_FOLDER, ResultFolder
    from bundle.function import MapOptions, ResponseThresholds, lung_pair, summary_line, write_lung_function
    from bundle.io import check_whole_numbers, check_writable, fit_mask, make_folder, read_labels
    from bundle.reports.html import LUNG_FUNCTION, PAGE, check_section, replace_function

    options = MapOptions(
        maps=maps,
        smooth_mm=smooth_mm,
        exhale=exhale,
        prm_filter=prm_filter,
        thresholds=ResponseThresholds(prm_inhale_hu, prm_exhale_hu),
        mass_correction=mass_correction,
    )
    names = _lobe_names(lobes, lobe_names)
    quiet()
    opened = ResultFolder.read(result, fixed=fixed, moving=moving, fixed_mask=fixed_mask, moving_mask=moving_mask)
    opened.refuse_failed()
    folder = Path(output_dir) if output_dir else Path(result) / FUNCTION_FOLDER
    page = Path(result) / PAGE
    has_page = page.is_file() and folder.absolute() == (Path(result) / FUNCTION_FOLDER).absolute()
    if has_page:
        check_writable(result)
        check_section(page, LUNG_FUNCTION)
    make_folder(folder)
    pair = lung_pair(opened)
    labels = None
    if lobes:
        labels = read_labels(lobes)
        check_whole_numbers(labels, lobes)
        labels = fit_mask(labels, pair.fixed)
    report = write_lung_function(folder, pair, options, lobes=labels, lobe_names=names)
    if has_page:
        replace_function(Path(result), page)
    print(summary_line(report, folder))


def _lobe_names(lobes: str | None, text: str | None) -> dict[int, str]:
    """Names by number. Raises: ValueError naming the part that is no number and name."""
    if text is not None and lobes is None:
        raise ValueError("--lobe_names: expected --lobes, the label map they belong to")
    names = {}
    for part in (text or "").split(","):
        number, separator, name = (word.strip() for word in part.partition("="))
        if not part.strip():
            continue
        if not (separator and number.isdigit() and name):
            raise ValueError(f"--lobe_names: expected NUMBER=NAME, separated by commas, got {part!r}")
        names[int(number)] = name
    return names


if __name__ == "__main__":
    run(lung_function)
