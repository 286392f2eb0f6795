from __future__ import annotations

import json
import math
from typing import Any

import pytest
import torch
from torch import Tensor

from bundle.metrics import ContourAgreement
from bundle.quality import items_of, quality_sheet, with_contours
from bundle.quality.quality_sheet import voxel_tolerance_mm

VOXEL_MM = {"fixed": (0.7, 0.7, 2.5), "moving": (0.8, 0.8, 1.0)}


def sheet_of(
    tre_mm: tuple[float | None, float | None] = (1.5, 4.0),
    *,
    jacobian: tuple[float, ...] = (0.5, 1.0, 1.5),
    inverse_mm: tuple[float, ...] | None = (0.0, 1.0, 2.0),
    p95_mm: float | None = 1.9,
    folding: float = 0.0,
    dice: float | None = None,
) -> dict[str, Any]:
    report = {
        "name": "case",
        "verdict": "ok",
        "scores": {"landmarks": 300, "tre_mm": tre_mm[0], "tre_max_mm": tre_mm[1], "folding_percent": folding},
        "evidence": {"inverse_consistency_mm": p95_mm},
        "lung_dice": {} if dice is None else {"registered": dice},
    }
    errors: Tensor | None = None if inverse_mm is None else torch.tensor(inverse_mm)
    return quality_sheet(report, voxel_mm=VOXEL_MM, jacobian=torch.tensor(jacobian), inverse_mm=errors)


def found(sheet: dict[str, Any]) -> dict[tuple[str, str], tuple[float | None, str]]:
    return {(item["quantity"], item["of"]): (item["value"], item["result"]) for item in items_of(sheet)}


def test_values_and_results_of_a_good_registration() -> None:
    items = found(sheet_of())
    marks, lungs = "300 landmarks of both scans", "fixed lungs"
    assert items["TRE, mean", marks] == (1.5, "pass")
    assert items["TRE, largest", marks] == (4.0, "pass")
    assert items["Jacobian, smallest", lungs] == (0.5, "pass")
    assert items["Jacobian, largest", lungs] == (1.5, "no tolerance")
    assert items["folding", lungs] == (0.0, "pass")
    assert items["inverse consistency, mean", lungs] == (1.0, "pass")
    assert items["inverse consistency, 95th percentile", lungs] == (1.9, "pass")


@pytest.mark.parametrize(
    ("options", "quantity"),
    [
        ({"tre_mm": (2.01, 4.0)}, "TRE, mean"),
        ({"tre_mm": (1.0, 5.01)}, "TRE, largest"),
        ({"jacobian": (0.0, 1.0)}, "Jacobian, smallest"),
        ({"jacobian": (-0.5, 1.0)}, "Jacobian, smallest"),
        ({"folding": 0.001}, "folding"),
        ({"inverse_mm": (2.51,)}, "inverse consistency, mean"),
        ({"p95_mm": 2.51}, "inverse consistency, 95th percentile"),
    ],
)
def test_values_beyond_a_tolerance_fail_alone(options: dict[str, Any], quantity: str) -> None:
    failed = [item["quantity"] for item in items_of(sheet_of(**options)) if item["result"] == "fail"]
    assert failed == [quantity]


def test_what_was_not_measured_says_so() -> None:
    sheet = sheet_of((None, None), jacobian=(), inverse_mm=None, p95_mm=None)
    results = {item["quantity"]: item["result"] for item in items_of(sheet)}
    assert results.pop("folding") == "pass"
    assert set(results.values()) == {"not measured"}
    assert json.loads(json.dumps(sheet, allow_nan=False)) == sheet


def test_contours_are_judged_by_name_and_replace_earlier_ones() -> None:
    sheet = sheet_of(dice=0.97)
    assert found(sheet)["Dice", "lungs"] == (0.97, "pass")
    assert found(sheet)["mean distance to agreement", "lungs"] == (None, "not measured")
    new = with_contours(
        sheet, {"heart": ContourAgreement(0.79, 2.4, 30.0), "spine": ContourAgreement(0.0, math.nan, math.nan)}
    )
    items = found(new)
    assert items["Dice", "heart"] == (0.79, "fail")
    assert items["mean distance to agreement", "heart"] == (2.4, "pass")
    assert items["Hausdorff distance, 95th percentile", "heart"] == (30.0, "no tolerance")
    assert items["Dice", "spine"] == (0.0, "fail")  # a structure that the warped map lacks
    assert items["mean distance to agreement", "spine"] == (None, "not measured")
    assert not [key for key in items if key[1] == "lungs"]
    assert new["tre"] == sheet["tre"]


def test_there_is_room_for_the_reader() -> None:
    assert sheet_of()["reader"] == {"name": "", "initials": "", "date": "", "comments": ""}


@pytest.mark.parametrize(("largest", "expected"), [(0.7, 2.0), (2.5, 2.5), (6.0, 3.0)])
def test_the_voxel_counts_between_2_and_3_mm(largest: float, expected: float) -> None:
    assert voxel_tolerance_mm(largest) == expected
