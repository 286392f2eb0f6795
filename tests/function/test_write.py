from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
import torch

from bundle.data import FUNCTION_REPORT, ResultFolder, function_figures
from bundle.function import LungPair, MapOptions, lung_pair, make_breath, write_lung_function
from bundle.function.measures.strain import singular_values, strain
from bundle.function.summary import HEADER
from tests.function.conftest import Phantom

ALL = MapOptions()


@pytest.fixture(scope="module")
def pairs(phantom: Phantom) -> dict[str, LungPair]:
    """The pair by the scan that is exhale."""
    return {
        "moving": lung_pair(ResultFolder.read(phantom.inhale_fixed)),
        "fixed": lung_pair(ResultFolder.read(phantom.exhale_fixed)),
    }


@pytest.fixture(scope="module")
def written(pairs: dict[str, LungPair], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The folders of all maps by the scan that is exhale."""
    folders = {exhale: tmp_path_factory.mktemp("maps") / exhale / "lung_function" for exhale in pairs}
    for exhale, folder in folders.items():
        write_lung_function(folder, pairs[exhale], ALL)
    return folders


def report_of(folder: Path) -> dict[str, Any]:
    return dict(json.loads((folder / FUNCTION_REPORT).read_text()))


def table_of(folder: Path) -> dict[tuple[str, str], dict[str, float]]:
    lines = [line.split(",") for line in (folder / "lung_function.csv").read_text().splitlines()]
    assert lines[0] == HEADER
    rows = {}
    for line in lines[1:]:
        row = dict(zip(HEADER, line, strict=True))
        texts = ("region", "map", "unit", "weight")
        rows[row["region"], row["map"]] = {key: float(row[key]) for key in HEADER if key not in texts and row[key]}
    return rows


@pytest.mark.parametrize("exhale", ["moving", "fixed"])
def test_the_volume_change_is_that_of_the_masks(written: dict[str, Path], exhale: str) -> None:
    report = report_of(written[exhale])
    assert report["exhale"]["scan"] == exhale
    volumes = report["volumes"]
    assert volumes["change_of_masks"] > 0.2
    assert volumes["change_of_field"] == pytest.approx(volumes["change_of_masks"], abs=0.01)
    assert report["warnings"] == []
    table = table_of(written[exhale])
    by_field = table["both lungs", "specific_volume_change"]["total"]
    assert by_field == pytest.approx(volumes["change_of_field"], rel=1e-4)
    assert table["both lungs", "volume_change"]["mean"] == pytest.approx(by_field, abs=0.01)


def test_both_directions_give_the_same_numbers(written: dict[str, Path]) -> None:
    inhale_fixed, exhale_fixed = table_of(written["moving"]), table_of(written["fixed"])
    regions = {region for region, _ in inhale_fixed}
    assert regions >= {"right lung", "left lung", "apex third", "base third", "front third", "back third"}
    for region in ("both lungs", "right lung", "left lung"):
        for name, tolerance in (("volume_change", 0.01), ("stretch1", 0.02), ("stretch2", 0.01), ("stretch3", 0.02)):
            values = [table[region, name]["mean"] for table in (inhale_fixed, exhale_fixed)]
            assert values[0] == pytest.approx(values[1], abs=tolerance), (region, name)
    for name in ("inhale_volume", "exhale_volume"):
        values = [table["both lungs", name]["total"] for table in (inhale_fixed, exhale_fixed)]
        assert values[0] == pytest.approx(values[1], rel=0.02), name
    assert report_of(written["moving"])["mass"] == report_of(written["fixed"])["mass"]


def test_jacobian_and_strain_are_those_of_the_phantom(phantom: Phantom, pairs: dict[str, LungPair]) -> None:
    pair = pairs["moving"]
    breath = make_breath(pair.fixed, pair.moving, pair.fixed_mask, pair.transform, "moving")
    gradient = phantom.jacobian_at(breath.points_mm().numpy())

    def smooth(values: np.ndarray) -> np.ndarray:
        volume = np.zeros(breath.inside.shape, np.float32)
        volume[breath.inside] = values
        return breath.smoother(4.0)(volume)

    exact = smooth(np.linalg.det(np.moveaxis(gradient, 2, 0)))
    found = breath.smoothed("jacobian", 4.0)
    assert np.percentile(np.abs(found - exact), 95) < 0.03
    matrices = np.stack([smooth(part) for part in gradient.reshape(9, -1)]).reshape(3, 3, -1)
    stretches = 1 / singular_values(torch.from_numpy(matrices))
    for value, expected in zip(strain(breath, 4.0)[:3], stretches.flip(0).numpy(), strict=True):
        assert np.percentile(np.abs(value - expected), 95) < 0.03


def test_maps_lie_on_the_fixed_grid_with_a_header(written: dict[str, Path], pairs: dict[str, LungPair]) -> None:
    report = report_of(written["moving"])
    inside = pairs["moving"].fixed_mask[0].numpy() > 0
    assert len(report["maps"]) == 12
    for entry in report["maps"]:
        nifti: Any = nib.load(written["moving"] / entry["file"])
        values = np.asarray(nifti.dataobj)
        assert nifti.header["descrip"].item().decode() == entry["header"]
        np.testing.assert_allclose(nifti.affine, pairs["moving"].fixed.affine, atol=1e-4)
        if entry["name"] == "prm":
            assert values.dtype == np.uint8
            np.testing.assert_array_equal(values > 0, inside)
            assert set(np.unique(values[inside])) <= {1, 2, 3, 4}
        else:
            assert values.dtype == np.float32
            assert np.isnan(values[~inside]).all()
            assert np.isfinite(values[inside]).mean() > 0.85
    labels = (written["moving"] / "prm_labels.ctbl").read_text()
    assert "2 functional_small_airway_disease 240 228 66 255" in labels


def test_every_map_has_a_picture_and_the_summary_is_first(written: dict[str, Path]) -> None:
    figures = function_figures(written["moving"].parent)
    assert [figure.path.name for figure in figures][:2] == ["lung_function.png", "volume_change_smooth_4mm.png"]
    assert len(figures) == 13
    for figure in figures:
        assert figure.path.read_bytes().startswith(b"\x89PNG")
    direction = "exhale to inhale, exhale = moving scan"
    assert figures[1].caption == f"(Vin-Vex)/Vex; unit 1; {direction}; Gaussian, sigma 4 mm."


def test_a_second_call_replaces_the_first(pairs: dict[str, LungPair], tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    for smooth_mm in (0.0, 2.0):
        write_lung_function(tmp_path, pairs["moving"], MapOptions(maps="volume_change", smooth_mm=smooth_mm))
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "lung_function.csv",
        "lung_function.json",
        "lung_function.png",
        "notes.txt",
        "volume_change_smooth_2mm.nii.gz",
        "volume_change_smooth_2mm.png",
    ]


def test_a_doubtful_registration_is_marked(pairs: dict[str, LungPair], tmp_path: Path) -> None:
    doubtful = replace(pairs["moving"], verdict="check")
    options = MapOptions(maps="hu_ventilation", exhale="fixed", mass_correction=True)
    report = write_lung_function(tmp_path, doubtful, options)
    assert any("the verdict on the registration is check" in warning for warning in report["warnings"])
    assert any(warning.startswith("--exhale fixed, but") for warning in report["warnings"])
    assert report["mass"]["inhale_factor"] > 0
    assert report["maps"][0]["file"] == "hu_ventilation_mass_corrected_smooth_4mm.nii.gz"
