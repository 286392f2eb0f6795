from __future__ import annotations

import csv
import io
from dataclasses import replace

import numpy as np
import pytest

from bundle.function import Breath
from bundle.function.maps import KINDS, rounded
from bundle.function.summary import HEADER, map_rows, region_totals, to_csv, total_of
from tests.function.breaths import SHEAR, UNIFORM, make_scans


@pytest.fixture(scope="module")
def breath() -> Breath:
    return make_scans(UNIFORM).breath()


def halves(breath: Breath) -> dict[str, np.ndarray]:
    number = int(breath.inside.sum())
    first = np.arange(number) < number // 2
    return {"both lungs": np.ones(number, np.bool_), "first": first}


def test_statistics_are_weighted_by_the_exhale_volume(breath: Breath) -> None:
    counts = np.random.default_rng(0).integers(1, 5, int(breath.inside.sum()))  # of small voxels in each
    jacobian = breath.jacobian.copy()
    jacobian[breath.inside] = counts
    values = rounded(KINDS["sacj"], np.random.default_rng(1).normal(0.3, 0.1, len(counts)))
    (whole, first) = map_rows(KINDS["sacj"], values, replace(breath, jacobian=jacobian), halves(breath), 4.0)
    small = np.repeat(values, counts)
    assert whole.mean == pytest.approx(small.mean(), rel=1e-4)
    assert whole.sd == pytest.approx(small.std(), rel=1e-4)
    assert whole.cv == pytest.approx(small.std() / small.mean(), rel=1e-4)
    expected = np.percentile(small, [5, 50, 95])
    np.testing.assert_allclose([whole.p5, whole.median, whole.p95], expected, atol=2e-3)
    assert whole.low_percent == pytest.approx(100 * (small < 0.5 * small.mean()).mean(), abs=1e-3)
    half = np.repeat(values[: len(counts) // 2], counts[: len(counts) // 2])
    assert first.high_percent == pytest.approx(100 * (half > 1.5 * small.mean()).mean(), abs=1e-3)
    assert whole.weight == "exhale volume"


def test_undefined_voxels_are_left_out_and_counted(breath: Breath) -> None:
    values = np.full(int(breath.inside.sum()), 0.25, np.float32)
    values[: len(values) // 4] = np.nan
    (row, _) = map_rows(KINDS["sai"], values, breath, halves(breath), 0.0)
    assert row.mean == pytest.approx(0.25)
    assert row.defined_percent == pytest.approx(75.0, abs=0.1)
    nothing, _ = map_rows(KINDS["sai"], np.full_like(values, np.nan), breath, halves(breath), 0.0)
    assert (nothing.mean, nothing.median, nothing.low_percent) == (None, None, None)


@pytest.mark.parametrize("exhale", ["fixed", "moving"])
def test_totals_are_exact_for_a_linear_map(exhale: str) -> None:
    scans = make_scans(SHEAR)
    breath = scans.breath(exhale)
    rows = region_totals(breath, halves(breath))
    determinant = float(np.linalg.det(SHEAR.numpy()))
    change = determinant - 1 if exhale == "fixed" else 1 / determinant - 1
    assert total_of(rows, "specific_volume_change") == pytest.approx(change, rel=1e-3)
    assert total_of(rows, "specific_volume_change", "first") == pytest.approx(change, rel=1e-3)
    mass_g = float(((scans.fixed + 1000) * scans.mask).sum()) * breath.voxel_ml / 1000
    assert total_of(rows, "inhale_mass") == pytest.approx(mass_g, rel=1e-3)
    assert total_of(rows, "mass_difference") == pytest.approx(0.0, abs=1e-3 * mass_g)


def test_shares_of_the_response_map_are_of_the_inhale_volume(breath: Breath) -> None:
    classes = np.where(halves(breath)["first"], 1, 2).astype(np.uint8)
    rows = {(row.region, row.map): row.total for row in map_rows(KINDS["prm"], classes, breath, halves(breath), 4.0)}
    assert rows["both lungs", "prm_fsad"] == pytest.approx(50.0, abs=0.1)
    assert rows["first", "prm_normal"] == pytest.approx(100.0)


def test_the_table_has_a_row_for_every_region_and_map(breath: Breath) -> None:
    values = np.full(int(breath.inside.sum()), 0.25, np.float32)
    rows = map_rows(KINDS["saj"], values, breath, halves(breath), 4.0) + region_totals(breath, halves(breath))
    table = list(csv.DictReader(io.StringIO(to_csv(rows))))
    assert list(table[0]) == HEADER
    assert [(line["region"], line["map"]) for line in table[:2]] == [("both lungs", "saj"), ("first", "saj")]
    assert float(table[0]["mean"]) == 0.25
    assert table[0]["total"] == ""
