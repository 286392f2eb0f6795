from __future__ import annotations

import os
import sys
from pathlib import Path

import numpy as np
import pydicom
import pytest
import torch

from bundle.radiotherapy import read_dose, read_structures
from bundle.refusals import REFUSED
from scripts.cli import run
from scripts.radiotherapy import accumulate, dose, structures
from tests.grids import make_affine
from tests.radiotherapy.conftest import (
    SHIFT_MM,
    Scan,
    centre_lps,
    fixed,
    moving,
    result,
    sphere,
    write_dose_file,
    write_result,
    write_structure_set,
)

__all__ = ["fixed", "moving", "result"]
pytestmark = pytest.mark.filterwarnings("error::UserWarning:pydicom")  # of values that DICOM does not allow
RADIUS_MM = 14.0
SHIFT_LPS = np.multiply(SHIFT_MM, (-1, -1, 1))  # fixed to moving


def mean(values: np.ndarray, affine: torch.Tensor) -> np.ndarray:
    """Centre of a dose, LPS mm."""
    vox = np.argwhere(values > 0)
    weights = values[values > 0][:, None]
    centre = (vox * weights).sum(axis=0) / weights.sum()
    return (affine.numpy() @ [*centre, 1.0])[:3] * [-1, -1, 1]


@pytest.fixture
def drawn(moving: Scan, tmp_path: Path) -> Path:
    ball = sphere(moving.grid, centre_lps(moving.grid), [RADIUS_MM])
    return write_structure_set(tmp_path / "drawn.dcm", moving, {"tumour": ball, "lung": ball})


def test_structures_follow_the_registration_and_come_back(
    drawn: Path, result: Path, fixed: Scan, moving: Scan, tmp_path: Path
) -> None:
    pytest.importorskip("shapely", reason="requirements-radiotherapy.txt: how structures are carried")
    structures(str(result), str(drawn), str(tmp_path / "carried.dcm"), rois=["tumour"])
    (tumour,) = read_structures(tmp_path / "carried.dcm").structures
    points = np.concatenate(tumour.contours)
    off_mm = np.linalg.norm(points - (centre_lps(moving.grid) - SHIFT_LPS), axis=1) - RADIUS_MM
    assert np.abs(off_mm).mean() < 0.1  # with the poles, which end half a slice from the last contour
    assert np.median(np.abs(off_mm)) < 0.08  # between two contours, h = 2.5 mm apart: h^2 / 8 R = 0.056 mm
    structures(str(result), str(tmp_path / "carried.dcm"), str(tmp_path / "back.dcm"), inverse=True)
    (back,) = read_structures(tmp_path / "back.dcm").structures
    off_mm = np.linalg.norm(np.concatenate(back.contours) - centre_lps(moving.grid), axis=1) - RADIUS_MM
    assert np.median(np.abs(off_mm)) < 0.15  # and once more, in slices of 3 mm: 0.056 + 0.080 mm
    referenced = pydicom.dcmread(tmp_path / "back.dcm").ReferencedFrameOfReferenceSequence[0]
    assert referenced.FrameOfReferenceUID == moving.source.frame_of_reference


def test_a_tilted_structure_is_left_out_by_name_and_refused_if_asked_for(
    result: Path,
    moving: Scan,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    capsys: pytest.CaptureFixture[str],
) -> None:
    pytest.importorskip("shapely", reason="requirements-radiotherapy.txt: how structures are carried")
    ball = sphere(moving.grid, centre_lps(moving.grid), [RADIUS_MM])
    tilted = [ball[0], ball[1] + np.outer(np.linspace(-4.0, 4.0, len(ball[1])), [0.0, 0.0, 1.0])]
    drawn = str(write_structure_set(tmp_path / "drawn.dcm", moving, {"tumour": ball, "needle": tilted}))
    structures(str(result), drawn, str(tmp_path / "carried.dcm"))
    assert [item.name for item in read_structures(tmp_path / "carried.dcm").structures] == ["tumour"]
    assert "structure 'needle': expected contours in the planes of the scan's slices" in caplog.text
    assert "carried.dcm: written without needle" in caplog.text
    assert "carried.dcm: 1 of 2 structures have contours or points in the target scan\n" in capsys.readouterr().out
    with pytest.raises(ValueError, match=r"drawn\.dcm: expected structures that can be carried, got needle \(reasons"):
        structures(str(result), drawn, str(tmp_path / "all.dcm"), rois=["tumour", "needle"])
    with pytest.raises(ValueError, match="structure 'needle': expected contours in the planes"):
        structures(str(result), drawn, str(tmp_path / "all.dcm"), rois=["needle"])
    assert not (tmp_path / "all.dcm").exists()


@pytest.fixture
def blob(moving: Scan, tmp_path: Path) -> Path:
    """20 Gy around the centre of the moving scan."""
    shape = (20, 19, 18)
    affine = make_affine(
        shape, (3.0, 3.0, 3.0), angles_deg=(0, 0, 180), centre_mm=tuple(moving.grid.corners_mm.mean(0))
    )
    grid = np.stack(np.meshgrid(*[np.arange(n) - (n - 1) / 2 for n in shape], indexing="ij"), axis=-1)
    values = 20 * np.exp(-(grid**2).sum(axis=-1) / (2 * 2.5**2))
    return write_dose_file(tmp_path / "dose.dcm", moving, values, affine, 16)


@pytest.mark.parametrize("spacing_mm", [None, 2.5])
def test_a_dose_follows_the_registration(
    spacing_mm: float | None,
    blob: Path,
    result: Path,
    fixed: Scan,
    moving: Scan,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    dose(str(result), str(blob), str(tmp_path / "carried.dcm"), spacing_mm=spacing_mm)
    before, after = read_dose(blob), read_dose(tmp_path / "carried.dcm")
    size = " × ".join(map(str, after.values.shape[1:]))
    assert f"carried.dcm: highest dose {float(after.values.max()):.4g} GY in {size} voxels\n" in capsys.readouterr().out
    volumes = [float(torch.linalg.det(item.values.affine[:3, :3]).abs()) for item in (before, after)]
    totals = [float(item.values.double().sum()) * volume for item, volume in zip((before, after), volumes, strict=True)]
    assert totals[1] == pytest.approx(totals[0], rel=1e-3)
    centre = mean(after.values[0].numpy(), after.values.affine)
    np.testing.assert_allclose(centre, centre_lps(moving.grid) - SHIFT_LPS, atol=0.05)
    assert after.data.FrameOfReferenceUID == fixed.source.frame_of_reference
    if spacing_mm is None:
        assert after.values.shape[1:] == fixed.grid.shape


def test_doses_of_phases_are_added_up_with_their_weights(
    blob: Path, result: Path, fixed: Scan, moving: Scan, tmp_path: Path
) -> None:
    """The reference's own dose, and one that moves with the tissue: both say the same."""
    dose(str(result), str(blob), str(tmp_path / "own.dcm"))
    words = ["accumulate", "--doses", str(tmp_path / "own.dcm"), str(blob), "--results", "-", str(result)]
    run({"accumulate": accumulate}, arguments=[*words, "--output", str(tmp_path / "mean.dcm")])
    own, total = read_dose(tmp_path / "own.dcm"), read_dose(tmp_path / "mean.dcm")
    np.testing.assert_allclose(total.values, own.values, atol=1e-4)
    accumulate(
        [str(tmp_path / "own.dcm"), str(blob)], ["-", str(result)], str(tmp_path / "sum.dcm"), weights=["2", "1.5"]
    )
    np.testing.assert_allclose(read_dose(tmp_path / "sum.dcm").values, 3.5 * own.values, atol=1e-3)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"results": ["-"]}, "expected as many --results as --doses, got 1 and 2"),
        ({"results": ["-", "-"]}, "expected at least one result folder"),
        ({"weights": ["1"]}, r"--weights: expected 2 numbers of at least 0, got \['1'\]"),
        ({"weights": ["1", "-2"]}, "--weights: expected 2 numbers of at least 0"),
        ({"weights": ["1", "x"]}, r"--weights: expected numbers, got \['1', 'x'\]"),
        ({"output": "sum.nii.gz"}, r"sum\.nii\.gz: expected a name ending in \.dcm"),
        ({"spacing_mm": 0.0}, "--spacing_mm: expected a number above 0, got 0"),
        ({"spacing_mm": float("nan")}, "--spacing_mm: expected a number above 0, got nan"),
        ({"spacing_mm": float("inf")}, "--spacing_mm: expected a number above 0, got inf"),
    ],
)
def test_options_that_do_not_fit_are_refused(
    options: dict, message: str, blob: Path, result: Path, tmp_path: Path
) -> None:
    given = {"doses": [str(blob)] * 2, "results": [str(result)] * 2, "output": str(tmp_path / "sum.dcm")}
    with pytest.raises(ValueError, match=message):
        accumulate(**(given | options))
    assert not (tmp_path / "sum.dcm").exists()


def test_objects_of_another_scan_and_references_that_differ_are_refused(
    blob: Path, drawn: Path, result: Path, fixed: Scan, moving: Scan, tmp_path: Path
) -> None:
    output = str(tmp_path / "out.dcm")
    with pytest.raises(ValueError, match=r"dose\.dcm: expected frame of reference .*--inverse"):
        dose(str(result), str(blob), output, inverse=True)
    with pytest.raises(FileNotFoundError, match=r"gone\.dcm: no such file or folder"):
        structures(str(result), str(tmp_path / "gone.dcm"), output)
    with pytest.raises(FileNotFoundError, match=r"report\.json: not the result folder"):
        dose(str(moving.folder), str(blob), output)
    swapped = write_result(tmp_path / "swapped", moving, fixed)
    with pytest.raises(ValueError, match="swapped: expected the fixed scan of"):
        accumulate([str(blob)] * 2, [str(result), str(swapped)], output)
    assert not Path(output).exists()


def test_neither_inputs_nor_folders_are_overwritten(blob: Path, drawn: Path, result: Path, tmp_path: Path) -> None:
    before = blob.read_bytes(), drawn.read_bytes()
    (tmp_path / "folder.dcm").mkdir()
    for output, error, message in (
        (blob, ValueError, r"dose\.dcm: expected another --output than the objects that are read"),
        (tmp_path / "folder.dcm", PermissionError, r"folder\.dcm: expected the name of a file"),
    ):
        with pytest.raises(error, match=message):
            dose(str(result), str(blob), str(output))
        with pytest.raises(error, match=message):
            accumulate([str(blob)], [str(result)], str(output))
    with pytest.raises(ValueError, match=r"drawn\.dcm: expected another --output"):
        structures(str(result), str(drawn), str(drawn))
    assert before == (blob.read_bytes(), drawn.read_bytes())


def test_what_is_missing_to_carry_structures_is_named_before_anything_is_read(
    blob: Path, result: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """As the command ends; the input is no structure set, which is known as soon as it is read. Doses need nothing."""
    monkeypatch.setitem(sys.modules, "shapely", None)
    words = ["--result", str(result), "--input", str(blob), "--output"]
    with pytest.raises(SystemExit) as stopped:
        run({"structures": structures}, arguments=["structures", *words, str(tmp_path / "carried.dcm")])
    assert stopped.value.code == REFUSED
    reason = "structures need shapely: pip install -r requirements-radiotherapy.txt"
    assert capsys.readouterr().err.splitlines()[-1] == reason
    run({"dose": dose}, arguments=["dose", *words, str(tmp_path / "dose_carried.dcm")])
    assert (tmp_path / "dose_carried.dcm").is_file()


def test_a_folder_that_cannot_be_written_is_refused_before_anything_is_read(
    blob: Path, result: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "access", lambda path, mode: False)  # root may write everywhere
    for command in (structures, dose):
        with pytest.raises(PermissionError, match=r"out\.dcm: expected the name of a file in a folder that can be"):
            command(str(result), str(blob), str(tmp_path / "out.dcm"))


def test_a_dose_beside_the_target_is_told(
    result: Path, moving: Scan, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    affine = make_affine((6, 7, 8), (3.0, 3.0, 3.0), angles_deg=(0, 0, 180), centre_mm=(900, 900, 900))
    far = write_dose_file(tmp_path / "far.dcm", moving, np.ones((6, 7, 8)), affine, 16)
    dose(str(result), str(far), str(tmp_path / "out.dcm"))
    assert "far.dcm: no dose above 0 lies in the target grid" in caplog.text
