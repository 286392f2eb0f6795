from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from bundle.networks import RRN
from bundle.refusals import FAILED, REFUSED
from scripts.cli import run
from scripts.register_series import register_series
from tests.chest import Chest, render
from tests.formats.dicom.conftest import write_series
from tests.io.conftest import write_dicom_series
from tests.recipes import save_weights
from tests.series.chests import SHAPE, grid_of, motion, write_chest, write_water


@pytest.fixture
def affine_only(tmp_path: Path) -> list[str]:
    """Options under which the registration is its initial alignment: a small network that answers zero."""
    network = RRN(channels=[4, 4, 4, 4], radius_vox=1)
    for parameter in network.parameters():
        torch.nn.init.zeros_(parameter)
    weights = save_weights(network, tmp_path / "weights.pt", network_spacing_mm=8.0)
    return ["--weights", str(weights), "--refine", "none", "--spacing_mm", "8", "--transitivity", "0"]


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        ([], "expected either --moving (with or without --fixed) or --dicom"),
        (["--moving", "a", "b", "--dicom", "d"], "expected either --moving (with or without --fixed) or --dicom"),
        (["--moving", "a", "--fixed", "b", "--reference", "a"], "--fixed: expected --moving, and no --reference"),
        (["--moving", "a", "b", "--dicom_series", "gated"], "--dicom_series: expected --dicom"),
        (["--moving", "a", "b", "--spacing_mm", "900"], "--spacing_mm: expected 0.5 to 10 mm, got 900"),
        (["--moving", "a,b"], "a: no such file or folder"),
        (["--moving", "a", "b", "--labels", "missing.nii"], "missing.nii: no such file"),
    ],
)
def test_contradictions_are_refused_before_any_work(
    words: list[str], reason: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stopped:
        run(register_series, arguments=["--output_dir", str(tmp_path / "out"), *words])
    assert stopped.value.code == REFUSED
    assert capsys.readouterr().err.splitlines()[-1].startswith(reason)
    assert not (tmp_path / "out").exists()


def test_files_are_registered_to_the_fixed_one_and_a_failed_one_ends_with_its_code(
    tmp_path: Path, affine_only: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    first, second = (str(write_chest(tmp_path / f"p{number}.nii.gz", number)) for number in (0, 1))
    water = str(write_water(tmp_path / "water.nii.gz"))
    words = ["--fixed", first, "--moving", second, water, *affine_only]
    with pytest.raises(SystemExit) as stopped:
        run(register_series, arguments=[*words, "--output_dir", str(tmp_path / "out")])
    assert stopped.value.code == FAILED
    report = json.loads((tmp_path / "out" / "series.json").read_text())
    assert report["reference"] == "p0"
    verdicts = [member["verdict"] for member in report["members"].values()]
    last = capsys.readouterr().out.splitlines()[-1]
    assert verdicts.count("not registered") == 1
    assert last.startswith("3 scans, reference p0: ")
    assert "1 not registered; motion in the lungs " in last
    assert last.endswith(f"; results in {tmp_path / 'out'}")
    assert list(report["failed"]) == ["water"]
    assert (tmp_path / "out" / "p1" / "transform.h5").is_file()


def test_the_phases_of_a_dicom_folder_are_registered_to_a_named_one(tmp_path: Path, affine_only: list[str]) -> None:
    uid, affine = "1.2.826.0.1.3680043.8.498.7", grid_of(1)
    for number, lift_mm in enumerate((0.0, 4.0, 8.0)):
        scan = render(Chest(), SHAPE, affine, to_chest=torch.linalg.inv(motion(lift_mm)))
        stored = (scan[0].numpy().round() + 1024).astype(np.int16)
        percent = {"SeriesInstanceUID": uid, "NominalPercentageOfRespiratoryPhase": 25.0 * number}
        write_dicom_series(tmp_path / "dicom" / str(number), stored, affine, intercept=-1024, **percent)  # type: ignore[arg-type]
    write_series(tmp_path / "dicom" / "other", SeriesDescription="localizer")
    words = ["--dicom", str(tmp_path / "dicom"), "--dicom_series", uid, "--reference", "25"]
    run(register_series, arguments=[*words, *affine_only, "--output_dir", str(tmp_path / "out")])
    report = json.loads((tmp_path / "out" / "series.json").read_text())
    assert list(report["members"]) == ["0", "25", "50"]
    pair = json.loads((tmp_path / "out" / "50" / "report.json").read_text())
    assert pair["dicom_series"]["moving"]["phase"] == "50"
    assert report["amplitude_in_lungs"]["si"]["mean_mm"] == pytest.approx(8.0, abs=2.0)
