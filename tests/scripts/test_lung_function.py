from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import SimpleITK as sitk
import torch

from bundle.data import ResultFolder
from bundle.io import read_image
from scripts.lung_function import lung_function
from tests.function.conftest import Phantom, phantom
from tests.grids import make_affine, to_sitk

__all__ = ["phantom"]


@pytest.fixture
def lobes(phantom: Phantom, tmp_path: Path) -> Path:
    """A coarse label map on a turned grid in the place of the fixed scan: 1 above its middle, 2 below."""
    scan = read_image(json.loads((phantom.inhale_fixed / "report.json").read_text())["fixed"])
    shape = (24, 24, 20)
    centre = torch.tensor(scan.shape[1:], dtype=torch.float64) / 2
    centre_mm = scan.affine[:3, :3].double() @ centre + scan.affine[:3, 3].double()
    grid = make_affine(shape, (8.0, 8.0, 10.0), flip=(-1, 1, 1), centre_mm=tuple(centre_mm.tolist()))
    labels = torch.ones(shape)
    labels[:, :, :10] = 2
    sitk.WriteImage(sitk.Cast(to_sitk(labels, grid), sitk.sitkUInt8), tmp_path / "lobes.nrrd")
    return tmp_path / "lobes.nrrd"


def test_lobes_on_another_grid_have_their_rows(
    phantom: Phantom, lobes: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "maps"
    lung_function(
        str(phantom.inhale_fixed),
        maps="volume_change,prm",
        smooth_mm=0.0,
        lobes=str(lobes),
        lobe_names="1=upper, 2 = lower",
        output_dir=str(out),
    )
    assert "exhale = moving scan (the smaller lungs" in capsys.readouterr().out
    rows = (out / "lung_function.csv").read_text().splitlines()
    volumes = {row.split(",")[0]: float(row.split(",")[5]) for row in rows if ",inhale_volume," in row}
    assert volumes["upper"] + volumes["lower"] == pytest.approx(volumes["both lungs"], rel=1e-4)
    assert min(volumes["upper"], volumes["lower"]) > 0.2 * volumes["both lungs"]
    assert (out / "volume_change_smooth_0mm.nii.gz").is_file()


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"result": "nowhere"}, r"nowhere: no such file \(--result\)"),
        ({"maps": "jacobian"}, "maps: expected all, or some of volume_change"),
        ({"smooth_mm": -4.0}, "smooth_mm: expected 0 to 50 mm, got -4"),
        ({"smooth_mm": 1e6}, "smooth_mm: expected 0 to 50 mm, got 1000000"),
        ({"smooth_mm": float("nan")}, "smooth_mm: expected 0 to 50 mm, got nan"),
        ({"smooth_mm": "wide"}, "smooth_mm: expected 0 to 50 mm, got wide"),
        ({"lobe_names": "1=a"}, "--lobe_names: expected --lobes"),
        ({"exhale": "inhale"}, "exhale: expected fixed or moving, got 'inhale'"),
        ({"moving": "gone.nii.gz"}, r"gone\.nii\.gz: no such file or folder"),
    ],
)
def test_a_refused_input_leaves_nothing(phantom: Phantom, options: dict[str, Any], reason: str, tmp_path: Path) -> None:
    given = {"result": str(phantom.inhale_fixed), "output_dir": str(tmp_path / "out"), **options}
    with pytest.raises((ValueError, FileNotFoundError), match=reason):
        lung_function(**given)
    assert not (tmp_path / "out").exists()


def test_a_result_that_cannot_be_written_is_refused_before_its_scans_are_read(
    phantom: Phantom, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = Path(shutil.copytree(phantom.inhale_fixed, tmp_path / "result"))
    monkeypatch.setattr(ResultFolder, "fixed", property(lambda _: pytest.fail("the scan was read")))
    monkeypatch.setattr(os, "access", lambda path, mode: False)  # root may write everywhere
    for options in ({}, {"output_dir": str(tmp_path / "out")}):
        with pytest.raises(PermissionError, match=r"(result|out): the output folder is not writable"):
            lung_function(str(folder), **options)


def test_a_failed_registration_ends_with_its_reason(phantom: Phantom, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(phantom.inhale_fixed, tmp_path / "failed"))
    report = json.loads((folder / "report.json").read_text())
    (folder / "report.json").write_text(json.dumps(report | {"verdict": "failed", "reasons": ["it folds"]}))
    command = [sys.executable, "-m", "scripts.lung_function", "--result", str(folder)]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ended.returncode == 2
    reason = "this registration failed, nothing is computed from it: it folds"
    assert ended.stderr.splitlines()[-1] == f"{folder}: {reason}"
    assert not (folder / "lung_function").exists()


def test_lobes_between_whole_numbers_are_refused(phantom: Phantom, lobes: Path, tmp_path: Path) -> None:
    image = sitk.Cast(sitk.ReadImage(lobes), sitk.sitkFloat32) * 1.25
    sitk.WriteImage(image, tmp_path / "smooth.nrrd")
    with pytest.raises(ValueError, match=r"smooth\.nrrd: expected whole numbers, one for each label, found"):
        lung_function(str(phantom.inhale_fixed), lobes=str(tmp_path / "smooth.nrrd"), output_dir=str(tmp_path / "out"))
    assert not list((tmp_path / "out").glob("*"))


def test_names_of_lobes_are_checked(phantom: Phantom, lobes: Path) -> None:
    with pytest.raises(ValueError, match="--lobe_names: expected NUMBER=NAME, separated by commas, got 'upper'"):
        lung_function(str(phantom.inhale_fixed), lobes=str(lobes), lobe_names="upper")


def test_maps_become_a_section_of_the_report_unless_they_go_elsewhere(phantom: Phantom, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(phantom.inhale_fixed, tmp_path / "result"))
    plain = (folder / "report.html").read_text()
    lung_function(str(folder), maps="prm", output_dir=str(tmp_path / "elsewhere"))
    assert (folder / "report.html").read_text() == plain
    for maps, title in (("prm", "parametric response map"), ("volume_change", "specific volume change")):
        lung_function(str(folder), maps=maps)
        page = (folder / "report.html").read_text()
        assert page.count('<h2 id="function">Lung function</h2>') == 1
        assert page.count(f"<figcaption><b>{title}</b>") == 1
    assert "<figcaption><b>parametric response map</b>" not in page
    start, end = page.index("<!-- section lung function -->"), page.index("<!-- end of lung function -->")
    assert page[:start] == plain[:start]
    assert plain.endswith(page[end:])
    assert len(page) < 15_000_000


def test_a_page_without_a_place_for_maps_is_refused_before_they_are_computed(phantom: Phantom, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(phantom.inhale_fixed, tmp_path / "result"))
    (folder / "report.html").write_text("<p>mine</p>")
    with pytest.raises(ValueError, match=r"report\.html: expected a report\.html of scripts\.register"):
        lung_function(str(folder), maps="prm")
    assert not (folder / "lung_function").exists()
