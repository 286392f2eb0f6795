"""The quality sheet of a registration after AAPM TG-132: what was measured, its tolerance, pass or fail.

Source: Brock et al. 2017, Med. Phys. 44(7), e43-e76, the report of AAPM Task Group 132, for radiotherapy. Its limits of
the TRE, a mean of 2 mm and a maximum of 5 mm, are stated by Latifi et al. 2018, J. Appl. Clin. Med. Phys. 19(4). The
other limits are this project's, after the report: its text was not at hand to check them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from torch import Tensor

from bundle.metrics import ContourAgreement

Result = Literal["pass", "fail", "not measured", "no tolerance"]
QUALITY = "quality.json"
SOURCE = "Brock et al. 2017, Med. Phys. 44(7), e43-e76 (AAPM TG-132)"
TRE_MEAN_MM, TRE_MAX_MM = 2.0, 5.0
VOXEL_MM = (2.0, 3.0)  # the largest voxel size counts between these
LEAST_DICE = 0.8
DIGITS = 6
CONTOURS = "contours"
Sheet = dict[str, Any]
READER = {"name": "", "initials": "", "date": "", "comments": ""}


def quality_sheet(
    report: Mapping[str, Any],
    *,
    voxel_mm: Mapping[str, Sequence[float]],
    jacobian: Tensor,
    inverse_mm: Tensor | None,
) -> Sheet:
    """The sheet of a registered pair, as `quality.json` holds it.

    Args:
        report: see `bundle.reports.registration_report`; TRE, folding and Dice of the lungs are taken from it.
        voxel_mm: voxel sizes of the `fixed` and `moving` scan.
        jacobian: (N,), determinant of the whole transform in the fixed lungs.
        inverse_mm: (N,), |T^-1(T(x)) - x| in the fixed lungs; None if it was not measured.
    """
    scores, largest_mm = report["scores"], max(max(sizes) for sizes in voxel_mm.values())
    limit_mm = voxel_tolerance_mm(largest_mm)
    has_errors = inverse_mm is not None and len(inverse_mm) > 0
    landmarks = f"{scores['landmarks']} landmarks of both scans"
    inside = "fixed lungs"
    tre = [
        _item("TRE, mean", landmarks, scores["tre_mm"], "mm", f"≤ {TRE_MEAN_MM:g} mm", _below(TRE_MEAN_MM)),
        _item("TRE, largest", landmarks, scores["tre_max_mm"], "mm", f"≤ {TRE_MAX_MM:g} mm", _below(TRE_MAX_MM)),
    ]
    field = [
        _item("Jacobian, smallest", inside, _extreme(jacobian, "min"), "", "> 0", lambda value: value > 0),
        _item("Jacobian, largest", inside, _extreme(jacobian, "max"), "", "", None),
        _item("folding", inside, scores["folding_percent"], "% of the voxels", "0 %", _below(0.0)),
        _item(
            "inverse consistency, mean",
            inside,
            float(inverse_mm.mean()) if inverse_mm is not None and has_errors else None,
            "mm",
            f"≤ {limit_mm:.3g} mm (largest voxel size)",
            _below(limit_mm),
        ),
        _item(
            "inverse consistency, 95th percentile",
            inside,
            report["evidence"]["inverse_consistency_mm"],
            "mm",
            f"≤ {limit_mm:.3g} mm (largest voxel size)",
            _below(limit_mm),
        ),
    ]
    sheet: Sheet = {
        "name": report["name"],
        "verdict": report["verdict"],
        "source": SOURCE,
        "voxel_mm": {key: [round(float(size), 4) for size in sizes] for key, sizes in voxel_mm.items()},
        "tre": tre,
        CONTOURS: [],
        "field": field,
        "reader": dict(READER),
    }
    dice = report["lung_dice"].get("registered")
    lungs = {} if dice is None else {"lungs": ContourAgreement(dice, math.nan, math.nan)}
    return with_contours(sheet, lungs)


def with_contours(sheet: Sheet, contours: Mapping[str, ContourAgreement]) -> Sheet:
    """The sheet with the agreement of fixed and warped moving contours, by the name of the structure."""
    limit_mm = voxel_tolerance_mm(max(max(sizes) for sizes in sheet["voxel_mm"].values()))
    items = []
    for name, found in (contours or {"no contours given": ContourAgreement(math.nan, math.nan, math.nan)}).items():
        tolerance = f"≤ {limit_mm:.3g} mm (largest voxel size)"
        items += [
            _item("mean distance to agreement", name, found.mda_mm, "mm", tolerance, _below(limit_mm)),
            _item("Dice", name, found.dice, "", f"≥ {LEAST_DICE:.2f}", lambda value: value >= LEAST_DICE),
            _item("Hausdorff distance, 95th percentile", name, found.hd95_mm, "mm", "", None),
        ]
    return {**sheet, CONTOURS: items}


def items_of(sheet: Sheet) -> list[dict[str, Any]]:
    """All items of a sheet, in its order."""
    return [*sheet["tre"], *sheet[CONTOURS], *sheet["field"]]


def voxel_tolerance_mm(largest_voxel_mm: float) -> float:
    """Tolerance of surfaces and of consistency: the largest voxel size, but between 2 and 3 mm."""
    return min(max(largest_voxel_mm, VOXEL_MM[0]), VOXEL_MM[1])


def _item(
    quantity: str, where: str, value: float | None, unit: str, tolerance: str, passes: Any
) -> dict[str, str | float | None]:
    """One line; a value of None or NaN was not measured, and without `passes` there is no tolerance."""
    result: Result
    if value is None or not math.isfinite(value):
        value, result = None, "not measured"
    else:
        value = float(f"{value:.{DIGITS}g}")
        result = "no tolerance" if passes is None else "pass" if passes(value) else "fail"
    return {"quantity": quantity, "of": where, "value": value, "unit": unit, "tolerance": tolerance, "result": result}


def _below(limit: float) -> Any:
    return lambda value: value <= limit


def _extreme(values: Tensor, name: Literal["min", "max"]) -> float | None:
    return float(getattr(values, name)()) if len(values) else None
