from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from bundle import __version__
from bundle.data import PairFiles, ResultFolder
from bundle.geometry import apply_affine
from bundle.io import read_image, read_labels, transform_points, write_image
from tests.conftest import SyntheticPair
from tests.result_folders import write_result, write_result_of

MASKS = ("fixed_mask", "moving_mask")


@pytest.fixture(scope="module")
def written(
    synthetic_pair: Callable[..., SyntheticPair], tmp_path_factory: pytest.TempPathFactory
) -> tuple[SyntheticPair, Path]:
    """A pair and its result folder."""
    return write_result_of(synthetic_pair(), tmp_path_factory.mktemp("results") / "out")


@pytest.fixture
def copied(written: tuple[SyntheticPair, Path], tmp_path: Path) -> tuple[SyntheticPair, Path]:
    """A result folder that this test may change."""
    return written[0], Path(shutil.copytree(written[1], tmp_path / "out"))


def change(folder: Path, **values: object) -> None:
    report = json.loads((folder / "report.json").read_text())
    (folder / "report.json").write_text(json.dumps(report | values))


def test_scans_masks_and_transforms_are_those_of_the_registration(written: tuple[SyntheticPair, Path]) -> None:
    pair, folder = written
    result = ResultFolder.read(folder)
    assert (result.name, result.verdict) == ("fixed", "ok")
    assert torch.equal(result.fixed.as_tensor(), read_image(pair.item["fixed"]).as_tensor())
    assert torch.equal(result.moving.affine, read_image(pair.item["moving"]).affine)
    for key in MASKS:
        given = read_labels(pair.item[key]).as_tensor() > 0
        assert torch.equal(getattr(result, key).as_tensor() > 0, given)
    mapped = transform_points(result.transform, pair.fixed_mm)
    torch.testing.assert_close(mapped, pair.moving_mm, atol=0.05, rtol=0)
    torch.testing.assert_close(transform_points(result.inverse, mapped), pair.fixed_mm, atol=0.1, rtol=0)
    assert result.fixed_lungs is not None
    assert set(result.fixed_lungs.unique().tolist()) == {0, 1, 2}
    result.refuse_failed()


def test_masks_that_were_not_given_are_found_again(
    synthetic_pair: Callable[..., SyntheticPair], tmp_path: Path
) -> None:
    pair = synthetic_pair()
    files = PairFiles(fixed=pair.item["fixed"], moving=pair.item["moving"])
    folder = write_result(tmp_path / "out", files, lambda points: apply_affine(pair.truth, points))
    result = ResultFolder.read(folder)
    exact = read_labels(pair.item["fixed_mask"]).as_tensor() > 0
    found = result.fixed_mask.as_tensor() > 0
    assert float(2 * (exact & found).sum() / (exact.sum() + found.sum())) > 0.9
    with pytest.raises(ValueError, match=r"--fixed_mask: the registration in .* found its own mask, got"):
        ResultFolder.read(folder, fixed_mask=pair.item["fixed_mask"])


def test_a_scan_that_moved_is_found_where_the_user_says(copied: tuple[SyntheticPair, Path], tmp_path: Path) -> None:
    pair, folder = copied
    gone = str(tmp_path / "gone.nii.gz")
    files = json.loads((folder / "report.json").read_text())["files"]
    change(folder, files=files | {"moving": gone})
    with pytest.raises(FileNotFoundError, match=r"gone\.nii\.gz: the moving of .* is not there; .* with --moving$"):
        ResultFolder.read(folder)
    scan = read_image(pair.item["moving"])
    write_image(tmp_path / "elsewhere.nii.gz", scan[0].as_tensor(), scan.affine)  # another format of the same voxels
    result = ResultFolder.read(folder, moving=tmp_path / "elsewhere.nii.gz")
    torch.testing.assert_close(result.moving.as_tensor(), scan.as_tensor())


def test_a_scan_that_changed_since_is_refused(copied: tuple[SyntheticPair, Path], tmp_path: Path) -> None:
    pair, folder = copied
    scan = read_image(pair.item["fixed"])
    voxels = scan[0].as_tensor().numpy().copy()
    voxels[tuple(np.array(voxels.shape) // 2)] += 1
    write_image(tmp_path / "other.nii.gz", voxels, scan.affine)
    result = ResultFolder.read(folder, fixed=tmp_path / "other.nii.gz")
    with pytest.raises(ValueError, match=r"other\.nii\.gz: expected the fixed scan that was registered in .*content"):
        _ = result.moving


@pytest.mark.parametrize(
    ("break_it", "match"),
    [
        (lambda folder: (folder / "report.json").unlink(), r"no report\.json: not the result folder"),
        (lambda folder: (folder / "transform.h5").unlink(), r"incomplete result folder: transform\.h5 is missing"),
        (lambda folder: (folder / "report.json").write_text("{"), r"report\.json, line 1: malformed JSON"),
        (lambda folder: (folder / "report.json").write_text("[]"), "found another JSON"),
        (lambda folder: change(folder, files={}), "the fixed scan was an array in memory; pass its file as --fixed"),
        (lambda folder: shutil.rmtree(folder), "no such folder"),
    ],
)
def test_what_is_no_result_folder_is_refused(
    copied: tuple[SyntheticPair, Path], break_it: Callable[[Path], object], match: str
) -> None:
    break_it(copied[1])
    with pytest.raises((ValueError, FileNotFoundError), match=match) as error:
        ResultFolder.read(copied[1])
    assert str(copied[1]) in str(error.value)
    assert "\n" not in str(error.value)


def test_a_report_without_its_files_says_which_version_wrote_it(copied: tuple[SyntheticPair, Path]) -> None:
    report = json.loads((copied[1] / "report.json").read_text())
    assert report["versions"]["bundle"] == __version__
    for key in ("files", "sha256", "settings"):
        report.pop(key)
    report["versions"]["bundle"] = "0.4.0"
    (copied[1] / "report.json").write_text(json.dumps(report))
    with pytest.raises(ValueError, match=r"written by version 0\.4\.0 of the bundle, which did not record"):
        ResultFolder.read(copied[1])


def test_nothing_is_computed_from_a_failed_registration(copied: tuple[SyntheticPair, Path]) -> None:
    change(copied[1], verdict="failed", reasons=["3 % of the lung folds", "LNCC is low"])
    with pytest.raises(ValueError, match=r"this registration failed, .*: 3 % of the lung folds; LNCC is low"):
        ResultFolder.read(copied[1]).refuse_failed()
