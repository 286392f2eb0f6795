from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk
import torch

from bundle import io
from bundle.geometry import apply_affine
from bundle.quality import items_of
from scripts.quality import quality
from tests.conftest import SyntheticPair
from tests.grids import make_affine, to_sitk, voxel_centres_mm
from tests.result_folders import write_result_of

RADIUS_MM = 18.0
CENTRES_MM = {1: (-40.0, 0.0, 10.0), 7: (45.0, 5.0, -10.0)}


@pytest.fixture(scope="module")
def written(
    synthetic_pair: Callable[..., SyntheticPair], tmp_path_factory: pytest.TempPathFactory
) -> tuple[SyntheticPair, Path]:
    """A pair, and its result folder: the ground truth is its transform; lung masks were given."""
    return write_result_of(synthetic_pair(), tmp_path_factory.mktemp("results") / "out")


@pytest.fixture
def result(written: tuple[SyntheticPair, Path], tmp_path: Path) -> tuple[SyntheticPair, Path]:
    """A result folder that this test may change."""
    return written[0], Path(shutil.copytree(written[1], tmp_path / "out"))


def write_balls(path: Path, to_fixed: torch.Tensor, centres: dict[int, tuple[float, ...]], *, flip: bool) -> str:
    """A label map of balls of the fixed world, on an oblique anisotropic grid of the world that `to_fixed` maps."""
    shape = (90, 84, 70)
    centre = tuple(torch.linalg.inv(to_fixed)[:3, 3].tolist())
    affine = make_affine(
        shape, (2.0, 2.2, 2.6), angles_deg=(5, -4, 8), flip=(-1, 1, 1) if flip else (1, 1, 1), centre_mm=centre
    )
    points = apply_affine(to_fixed, voxel_centres_mm(shape, affine).reshape(-1, 3))
    labels = torch.zeros(shape)
    for number, place in centres.items():
        labels[((points - torch.tensor(place)).norm(dim=1) <= RADIUS_MM).view(shape)] = number
    sitk.WriteImage(sitk.Cast(to_sitk(labels, affine), sitk.sitkUInt8), str(path))
    return str(path)


def balls(pair: SyntheticPair, folder: Path, shift_mm: float = 0.0) -> tuple[str, str]:
    """Label maps of both scans; those of the moving scan are shifted along x of the fixed world."""
    moved = {number: (x + shift_mm, y, z) for number, (x, y, z) in CENTRES_MM.items()}
    fixed = write_balls(folder / "fixed_labels.nii.gz", torch.eye(4, dtype=torch.float64), CENTRES_MM, flip=True)
    return fixed, write_balls(folder / "moving_labels.mha", torch.linalg.inv(pair.truth), moved, flip=False)


def contours_of(folder: Path) -> dict[str, dict[str, float]]:
    found: dict[str, dict[str, float]] = {}
    for item in json.loads((folder / "quality.json").read_text())["contours"]:
        found.setdefault(item["of"], {})[item["quantity"]] = item["value"]
    return found


def test_contours_that_the_transform_maps_on_each_other_agree(
    result: tuple[SyntheticPair, Path], tmp_path: Path
) -> None:
    pair, folder = result
    fixed, moving = balls(pair, tmp_path)
    (tmp_path / "names.json").write_text('{"1": "heart", "7": "tumour <1>"}')
    quality(str(folder), fixed, moving, str(tmp_path / "names.json"))
    found = contours_of(folder)
    assert list(found) == ["lungs", "heart", "tumour <1>"]
    for name in ("heart", "tumour <1>"):
        assert found[name]["Dice"] > 0.95
        assert found[name]["mean distance to agreement"] < 0.8  # voxels of 2.0 to 2.6 mm
        assert found[name]["Hausdorff distance, 95th percentile"] < 2.7
    page = (folder / "report.html").read_text()
    assert "tumour &lt;1&gt;" in page
    for item in items_of(json.loads((folder / "quality.json").read_text())):
        if item["value"] is not None:
            assert f"{item['value']:.4g} {item['unit']}".strip() in page


def test_a_known_shift_is_found(result: tuple[SyntheticPair, Path], tmp_path: Path) -> None:
    pair, folder = result
    shift = 10.0
    quality(str(folder), *balls(pair, tmp_path, shift))
    lens = np.pi * (4 * RADIUS_MM + shift) * (2 * RADIUS_MM - shift) ** 2 / 12
    for name in ("label 1", "label 7"):
        found = contours_of(folder)[name]
        assert found["Dice"] == pytest.approx(lens / (4 / 3 * np.pi * RADIUS_MM**3), abs=0.02)
        assert 3.5 < found["mean distance to agreement"] < 5.5  # 5.0 for a sphere: half of the shift
        assert found["Hausdorff distance, 95th percentile"] == pytest.approx(9.5, abs=1.2)
    results = {
        (i["of"], i["quantity"]): i["result"] for i in json.loads((folder / "quality.json").read_text())["contours"]
    }
    assert results["label 1", "Dice"] == "fail"
    assert results["label 1", "mean distance to agreement"] == "fail"


def test_lung_masks_that_were_given_are_measured_without_labels(result: tuple[SyntheticPair, Path]) -> None:
    _, folder = result
    before = json.loads((folder / "quality.json").read_text())
    quality(str(folder))
    after = json.loads((folder / "quality.json").read_text())
    assert contours_of(folder)["lungs"]["Dice"] > 0.95
    assert contours_of(folder)["lungs"]["mean distance to agreement"] < 2.0
    assert {key: value for key, value in before.items() if key != "contours"} == {
        key: value for key, value in after.items() if key != "contours"
    }


def test_a_label_of_one_map_only_fails(result: tuple[SyntheticPair, Path], tmp_path: Path) -> None:
    pair, folder = result
    fixed, moving = balls(pair, tmp_path)
    image = sitk.ReadImage(moving)
    sitk.WriteImage(sitk.Mask(image, image != 7), moving)
    quality(str(folder), fixed, moving)
    assert contours_of(folder)["label 7"]["Dice"] == 0.0
    assert contours_of(folder)["label 7"]["mean distance to agreement"] is None


def test_large_labels_keep_their_numbers(result: tuple[SyntheticPair, Path], tmp_path: Path) -> None:
    pair, folder = result
    files = balls(pair, tmp_path)
    for file in files:
        image = sitk.Cast(sitk.ReadImage(file), sitk.sitkInt32)
        sitk.WriteImage(sitk.ChangeLabel(image, {1: 1234567, 7: 1234568}), file)
    quality(str(folder), *files)
    assert [name for name in contours_of(folder) if name != "lungs"] == ["label 1234567", "label 1234568"]


def test_fractions_are_no_labels(result: tuple[SyntheticPair, Path], tmp_path: Path) -> None:
    pair, folder = result
    files = balls(pair, tmp_path)
    sitk.WriteImage(0.5 * sitk.Cast(sitk.ReadImage(files[0]), sitk.sitkFloat32), files[0])
    with pytest.raises(ValueError, match=r"fixed_labels\.nii\.gz: expected whole numbers as labels, found 0\.5"):
        quality(str(folder), *files)


@pytest.mark.parametrize("content", ["[]", '{"name": "pair"}'])
def test_another_sheet_is_refused(content: str, result: tuple[SyntheticPair, Path]) -> None:
    _, folder = result
    (folder / "quality.json").write_text(content)
    with pytest.raises(ValueError, match=r"quality\.json: expected a quality sheet of scripts\.register"):
        quality(str(folder))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"moving_labels": None}, r"expected both --fixed_labels and --moving_labels"),
        ({"fixed_labels": None, "moving_labels": None}, r"--label_names: expected --fixed_labels"),
        ({"moving_labels": "missing.nii.gz"}, r"missing\.nii\.gz"),
        ({"names": '{"1": "a", "7": "a"}'}, r"names\.json: expected a name of its own"),
        ({"names": '{"1": "a", "3": "b"}'}, r"expected the named labels \[3\], found \[1, 7\]"),
        ({"names": '{"1": "a", "01": "b"}'}, r"names\.json: .* found a name or a label twice"),
        ({"names": '{"1": "label 7"}'}, r"a name of its own for every label, found \['label 7', 'label 7'\]"),
        ({"names": '{"1": "lungs"}'}, r"names\.json: expected another name than 'lungs'"),
        ({"label_names": "missing.json"}, r"missing\.json: no such file"),
        ({"names": '{"one": "a"}'}, r"names\.json: expected names by label number"),
        ({"names": "{"}, r"names\.json, line 1: malformed JSON"),
        ({"far": True}, r"far\.nii\.gz: the mask lies in another place"),
    ],
)
def test_wrong_input_is_refused_and_nothing_is_changed(
    options: dict[str, Any], message: str, result: tuple[SyntheticPair, Path], tmp_path: Path
) -> None:
    pair, folder = result
    fixed, moving = balls(pair, tmp_path)
    names = tmp_path / "names.json"
    names.write_text(options.pop("names", '{"1": "a"}'))
    if options.pop("far", False):
        away = torch.eye(4, dtype=torch.float64)
        away[:3, 3] = 900.0
        options["fixed_labels"] = write_balls(tmp_path / "far.nii.gz", away, CENTRES_MM, flip=False)
    before = (folder / "quality.json").read_bytes(), (folder / "report.html").read_bytes()
    given = {"fixed_labels": fixed, "moving_labels": moving, "label_names": str(names), **options}
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        quality(str(folder), **given)
    assert before == ((folder / "quality.json").read_bytes(), (folder / "report.html").read_bytes())


def test_a_result_that_cannot_be_written_is_refused_before_contours_are_read(
    result: tuple[SyntheticPair, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pair, folder = result
    fixed, moving = balls(pair, tmp_path)
    monkeypatch.setattr(io, "read_labels", lambda _: pytest.fail("contours were read"))
    monkeypatch.setattr(os, "access", lambda path, mode: False)  # root may write everywhere
    with pytest.raises(PermissionError, match="out: the output folder is not writable"):
        quality(str(folder), fixed_labels=fixed, moving_labels=moving)


def test_a_result_of_an_earlier_version_is_refused(result: tuple[SyntheticPair, Path]) -> None:
    _, folder = result
    (folder / "quality.json").unlink()
    with pytest.raises(FileNotFoundError, match=r"no quality\.json.*register the pair again"):
        quality(str(folder))
