"""Carry radiotherapy structures and doses through registrations: DICOM in, DICOM out."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

sys.path.insert(0, str(Path(__file__).absolute().parents[1]))  # run as a file, from any folder

from scripts.cli import quiet, run

if TYPE_CHECKING:
    import numpy as np

IN_PLACE = "-"  # instead of a result folder: the dose lies in the reference scan already


def structures(
    result: str,
    input: str,
    output: str,
    inverse: bool = False,
    rois: list[str] | None = None,
    any_series: bool = False,
    fixed: str | None = None,
    moving: str | None = None,
) -> None:
    """Carry the structures of INPUT, drawn on the moving scan, to the fixed scan and write them as OUTPUT.

    Contours are drawn anew in the slices of the fixed scan, with names, colours and types of the old ones. Structures
    that cannot be carried, as contours that leave the slices of their scan, are named and left out; one named with
    --rois is refused instead.

    Args:
        result: result folder of scripts.register.
        input: RT Structure Set.
        output: RT Structure Set to write, .dcm.
        inverse: carry structures of the fixed scan to the moving one.
        rois: names of the structures to carry; all by default.
        any_series: accept structures drawn on another series in the frame of reference of the scan.
        fixed: where the fixed scan is now, or the DICOM series that it was made from.
        moving: where the moving scan is now, or the DICOM series that it was made from.
    Raises: ValueError, FileNotFoundError: what does not belong together; before anything is computed.
    """
    _check_paths([result, input], output)
    quiet()
    if find_spec("shapely") is None:
        raise ValueError("structures need shapely: pip install -r requirements-radiotherapy.txt")
    from bundle.radiotherapy import Carrier, check_references, read_structures, write_structures
    from bundle.radiotherapy.carry_structures import carry_structures

    drawn = read_structures(input, rois or ())
    way = Carrier.read(result, fixed=fixed, moving=moving, inverse=inverse)
    check_references(drawn, way.source, any_series=any_series)
    grids = {"source": way.source_grid, "target": way.target_grid}
    carried = carry_structures(drawn.structures, way.to_source, way.to_target, **grids, name=result)
    missing = sorted({item.name for item in drawn.structures} - {item.name for item in carried})
    if rois and missing:
        raise ValueError(
            f"{input}: expected structures that can be carried, got {', '.join(missing)} (reasons above); leave them "
            "out of --rois"
        )
    write_structures(output, carried, drawn, way.target)
    found = sum(bool(item.contours) for item in carried)
    print(f"{output}: {found} of {len(drawn.structures)} structures have contours or points in the target scan")
    if missing:
        logging.getLogger(__name__).warning("%s: written without %s", output, ", ".join(missing))


def dose(
    result: str,
    input: str,
    output: str,
    inverse: bool = False,
    spacing_mm: float | None = None,
    fixed: str | None = None,
    moving: str | None = None,
) -> None:
    """Carry the dose INPUT, computed on the moving scan, to the fixed scan and write it as OUTPUT.

    The dose at a point is that at the corresponding point: trilinear, 0 outside the dose grid.

    Args:
        result: result folder of scripts.register.
        input: RT Dose.
        output: RT Dose to write, .dcm.
        inverse: carry a dose of the fixed scan to the moving one.
        spacing_mm: voxel size of OUTPUT, over the space of the scan; by default the voxels of the scan.
        fixed: where the fixed scan is now, or the DICOM series that it was made from.
        moving: where the moving scan is now, or the DICOM series that it was made from.
    Raises: ValueError, FileNotFoundError: what does not belong together; before anything is computed.
    """
    _check_paths([result, input], output, spacing_mm)
    quiet()
    from bundle.radiotherapy import Carrier, carry_dose, check_dose, dose_grid, read_dose, write_dose

    given = read_dose(input)
    way = Carrier.read(result, fixed=fixed, moving=moving, inverse=inverse)
    check_dose(given, way.source, way.target)
    grid = dose_grid(way.target_grid, spacing_mm)
    values = carry_dose(given, way.to_source, grid, name=result)
    comment = "Carried by deformable registration; research use only"
    write_dose(output, values, grid.affine, given, way.target, comment)
    print(_highest(output, values, given.kind[0]))


def accumulate(
    doses: list[str],
    results: list[str],
    output: str,
    weights: list[str] | None = None,
    spacing_mm: float | None = None,
    fixed: str | None = None,
) -> None:
    """Carry the DOSES of several phases to one reference scan, add them up and write the sum as OUTPUT.

    Args:
        doses: RT Dose files, separated by spaces or commas, as all lists here.
        results: as many result folders of scripts.register; all with the reference scan as fixed
            and the scan of the dose as moving. A dash stands for a dose on the reference scan itself.
        output: RT Dose to write, .dcm.
        weights: factor of each dose; by default 1 / number of doses, the mean over the phases.
        spacing_mm: voxel size of OUTPUT, over the space of the reference scan; by default the voxels of the scan.
        fixed: where the reference scan is now, or the DICOM series that it was made from.
    Raises: ValueError, FileNotFoundError: what does not belong together; before anything is computed.
    """
    if len(doses) != len(results) or not doses:
        raise ValueError(f"expected as many --results as --doses, got {len(results)} and {len(doses)}")
    if set(results) == {IN_PLACE}:
        raise ValueError("--results: expected at least one result folder: its fixed scan is the reference")
    factors = _factors(weights, len(doses))
    _check_paths([*doses, *(folder for folder in results if folder != IN_PLACE)], output, spacing_mm)
    quiet()
    from bundle.radiotherapy import (
        Carrier,
        add_doses,
        check_dose,
        check_reference,
        check_summands,
        dose_grid,
        read_dose,
        write_dose,
    )

    given = [read_dose(file) for file in doses]
    check_summands(given)
    ways = [None if folder == IN_PLACE else Carrier.read(folder, fixed=fixed) for folder in results]
    reference = check_reference([way for way in ways if way is not None])
    for item, way in zip(given, ways, strict=True):
        check_dose(item, reference.target if way is None else way.source, reference.target)
    grid = dose_grid(reference.target_grid, spacing_mm)
    total = add_doses(given, [way and way.to_source for way in ways], factors, grid)
    comment = f"Weighted sum of {len(given)} doses carried by registration; research use"
    write_dose(output, total, grid.affine, given[0], reference.target, comment)
    print(_highest(output, total, given[0].kind[0]))


def _highest(output: str, values: np.ndarray, units: str) -> str:
    """What was written, in one line."""
    size = " × ".join(map(str, values.shape))
    return f"{output}: highest dose {values.max():.4g} {units} in {size} voxels"


def _factors(weights: Sequence[str] | None, count: int) -> list[float]:
    """The weights of doses. Raises: ValueError."""
    if weights is None:
        return [1.0 / count] * count
    try:
        factors = [float(word) for word in weights]
    except ValueError:
        raise ValueError(f"--weights: expected numbers, got {weights!r}") from None
    if len(factors) != count or not all(0 <= factor < float("inf") for factor in factors):
        raise ValueError(f"--weights: expected {count} numbers of at least 0, got {weights!r}")
    return factors


def _check_paths(inputs: Sequence[str], output: str, spacing_mm: float | None = None) -> None:
    """Before the seconds that torch takes to load. Raises: FileNotFoundError, ValueError."""
    for path in inputs:
        if not Path(path).exists():
            raise FileNotFoundError(f"{path}: no such file or folder")
    if not output.endswith(".dcm"):
        raise ValueError(f"{output}: expected a name ending in .dcm")
    if not Path(output).parent.is_dir():
        raise FileNotFoundError(f"{output}: the folder {Path(output).parent} does not exist")
    if Path(output).is_dir() or not os.access(Path(output).parent, os.W_OK):
        raise PermissionError(f"{output}: expected the name of a file in a folder that can be written to")
    if Path(output).exists() and any(Path(output).samefile(path) for path in inputs):
        raise ValueError(f"{output}: expected another --output than the objects that are read")
    if spacing_mm is not None and not 0 < spacing_mm < float("inf"):
        raise ValueError(f"--spacing_mm: expected a number above 0, got {spacing_mm:g}")


if __name__ == "__main__":
    run({"structures": structures, "dose": dose, "accumulate": accumulate})
