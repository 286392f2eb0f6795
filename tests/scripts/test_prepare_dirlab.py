import json
import logging
import subprocess
import sys
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch

from bundle.data import check_pairs, read_pairs
from bundle.io import check_header, read_landmarks_mm
from bundle.io.dirlab import GRIDS
from scripts.prepare_dirlab import prepare_dirlab
from tests.io.test_dirlab import write_case

RAW = np.random.default_rng(0).integers(0, 2000, (6, 7, 8)).astype(np.int16)


@pytest.fixture
def raw(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Small copd1, copd10 and 4dct8; copd10 has one landmark too many in its exhale file."""
    for collection, number in (("COPDgene", 1), ("COPDgene", 10), ("4DCT", 8)):
        monkeypatch.setitem(GRIDS[collection], number, (*RAW.shape, 0.75))
    for name in ("copd1", "copd10"):
        write_case(tmp_path / "raw", name, RAW)
    write_case(tmp_path / "raw" / "4DCT", "4dct8", RAW)
    with next((tmp_path / "raw").rglob("copd10_300_eBH_xyz_r1.txt")).open("a") as file:
        file.write("1 1 1\n")
    return tmp_path / "raw"


def test_cases_become_pairs_and_the_rest_is_reported(
    raw: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    out = tmp_path / "out" / "dirlab"
    with caplog.at_level(logging.INFO):
        prepare_dirlab(str(raw), str(out))
    pairs = check_pairs(read_pairs(out, section="test"))
    assert [pair["name"] for pair in pairs] == ["copd1", "4dct8"]
    assert "copd2   missing" in caplog.text
    assert "copd10  broken: fixed and moving landmarks must match row by row" in caplog.text
    assert not (out / "copd10").exists()
    np.testing.assert_array_equal(nib.load(pairs[0]["fixed"]).dataobj, RAW - 1024)
    assert nib.load(pairs[0]["fixed"]).get_data_dtype() == np.int16
    header = check_header(pairs[0]["moving"])
    points = read_landmarks_mm(pairs[0]["moving_landmarks"], header)
    voxels = torch.linalg.solve(header.affine[:3, :3], (points - header.affine[:3, 3]).T).T
    torch.testing.assert_close(voxels, torch.tensor([[0.0, 0, 0], [1, 2, 3]], dtype=torch.float64), atol=1e-5, rtol=0)


def test_a_second_run_keeps_what_is_there_and_fills_in_the_rest(raw: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    prepare_dirlab(str(raw / "4DCT"), str(out))
    assert [pair["name"] for pair in read_pairs(out, section="test")] == ["4dct8"]
    before = (out / "4dct8/fixed.nii.gz").stat().st_mtime_ns
    (out / "4dct8/moving_landmarks.csv").unlink()
    (out / "4dct8/moving.nii.gz").write_bytes(b"cut off")
    prepare_dirlab(str(raw), str(out), training="copd1", validation=("4dct8",))
    assert [pair["name"] for pair in check_pairs(read_pairs(out, section=("training", "validation")))] == [
        "copd1",
        "4dct8",
    ]
    assert json.loads((out / "pairs.json").read_text())["test"] == []
    assert (out / "4dct8/fixed.nii.gz").stat().st_mtime_ns > before
    before = (out / "4dct8/fixed.nii.gz").stat().st_mtime_ns
    prepare_dirlab(str(raw), str(out))
    assert (out / "4dct8/fixed.nii.gz").stat().st_mtime_ns == before


def test_unknown_and_unusable_case_names_are_refused(raw: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no DIR-Lab case: copd99; expected names such as copd1 or 4dct10"):
        prepare_dirlab(str(raw), str(tmp_path / "out"), training="copd1, copd99")
    with pytest.raises(ValueError, match="no usable case: copd10; there are copd1, 4dct8"):
        prepare_dirlab(str(raw), str(tmp_path / "out"), training="copd10")


@pytest.mark.slow
def test_the_command_fails_if_no_case_can_be_used(tmp_path: Path) -> None:
    (tmp_path / "copd1_iBHCT.img").touch()
    command = [
        sys.executable,
        "-m",
        "scripts.prepare_dirlab",
        "--source",
        str(tmp_path),
        "--out",
        str(tmp_path / "out"),
    ]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    assert run.returncode == 2
    assert "copd1   broken: copd1: the fixed landmarks file is missing" in run.stderr
    assert "none of its DIR-Lab cases can be used" in run.stderr.splitlines()[-1]
    assert not (tmp_path / "out/pairs.json").exists()


@pytest.mark.slow
def test_a_copd_case_at_published_size_is_converted(tmp_path: Path) -> None:
    write_case(tmp_path / "raw", "copd1")
    prepare_dirlab(str(tmp_path / "raw"), str(tmp_path / "out"))
    (pair,) = check_pairs(read_pairs(tmp_path / "out", section="test"))
    header = check_header(pair["fixed"])
    assert header.shape == (512, 512, 121)
    assert header.spacing_mm == pytest.approx((0.625, 0.625, 2.5))
