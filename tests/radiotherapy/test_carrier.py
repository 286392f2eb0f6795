from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from monai.transforms import Orientation

from bundle.io import read_image, transform_points, write_image
from bundle.radiotherapy import Carrier, check_reference
from tests.radiotherapy.conftest import CENTRE_MM, SHIFT_MM, Scan, make_scan, write_result

POINT_MM = torch.tensor([CENTRE_MM], dtype=torch.float64)


def test_objects_go_from_the_moving_to_the_fixed_scan_and_inversely_back(
    result: Path, fixed: Scan, moving: Scan
) -> None:
    way, back = Carrier.read(result), Carrier.read(result, inverse=True)
    assert way.source.frame_of_reference == back.target.frame_of_reference == moving.source.frame_of_reference
    assert way.target.frame_of_reference == back.source.frame_of_reference == fixed.source.frame_of_reference
    assert way.target_grid.shape == fixed.grid.shape
    np.testing.assert_array_equal(way.source_grid.affine, moving.grid.affine)
    shift = torch.tensor([SHIFT_MM], dtype=torch.float64)
    for carrier, sign in ((way, 1), (back, -1)):
        np.testing.assert_allclose(transform_points(carrier.to_source, POINT_MM), POINT_MM + sign * shift, atol=1e-3)
        np.testing.assert_allclose(transform_points(carrier.to_target, POINT_MM), POINT_MM - sign * shift, atol=1e-3)


def test_failed_registrations_and_scans_that_are_no_dicom_are_refused(
    fixed: Scan, moving: Scan, tmp_path: Path
) -> None:
    failed = write_result(tmp_path / "failed", fixed, moving, verdict="failed")
    with pytest.raises(ValueError, match=r"this registration failed, .*: the lungs do not overlap"):
        Carrier.read(failed)
    folder = write_result(tmp_path / "result", fixed, moving)
    write_image(tmp_path / "moving.nii.gz", np.random.default_rng(0).uniform(size=(6, 7, 8)), moving.grid.affine)
    with pytest.raises(ValueError, match=r"moving\.nii\.gz: expected a DICOM folder .*--moving names the DICOM series"):
        Carrier.read(folder, moving=str(tmp_path / "moving.nii.gz"))


def test_scans_that_have_moved_are_named_and_others_are_refused(
    result: Path, moving: Scan, fixed: Scan, tmp_path: Path
) -> None:
    shutil.move(moving.folder, tmp_path / "elsewhere")
    with pytest.raises(FileNotFoundError, match=r"moving.*say where it is with --moving"):
        Carrier.read(result)
    Carrier.read(result, moving=str(tmp_path / "elsewhere"))
    uid = moving.source.volume.series.uid
    make_scan(tmp_path / "other", moving.grid.shape, moving.grid.affine, seed=5, SeriesInstanceUID=uid)
    with pytest.raises(ValueError, match=r"expected the moving scan that was registered in .*, found other voxels"):
        Carrier.read(result, moving=str(tmp_path / "other"))


def test_phases_are_added_in_one_reference(result: Path, fixed: Scan, moving: Scan, tmp_path: Path) -> None:
    ways = [Carrier.read(result), Carrier.read(write_result(tmp_path / "again", fixed, moving))]
    assert check_reference(ways) is ways[0]
    swapped = Carrier.read(write_result(tmp_path / "swapped", moving, fixed))
    with pytest.raises(ValueError, match=r"swapped: expected the fixed scan of .*result, series"):
        check_reference([*ways, swapped])


def test_scans_registered_as_nifti_are_named_by_their_dicom_series(
    result: Path, fixed: Scan, moving: Scan, tmp_path: Path
) -> None:
    report = json.loads((result / "report.json").read_text())
    for key, scan in (("fixed", fixed), ("moving", moving)):
        image = Orientation(axcodes="RAS", labels=None)(read_image(scan.folder))  # another order of axes
        write_image(tmp_path / f"{key}.nii.gz", image[0].as_tensor(), image.affine, dtype=np.int16)
        report["files"][key], report["dicom_series"][key] = str(tmp_path / f"{key}.nii.gz"), None
    (result / "report.json").write_text(json.dumps(report))
    with pytest.raises(ValueError, match="--fixed names the DICOM series of the fixed scan"):
        Carrier.read(result)
    way = Carrier.read(result, fixed=str(fixed.folder), moving=str(moving.folder))
    assert way.source.frame_of_reference == moving.source.frame_of_reference
    with pytest.raises(ValueError, match="expected the fixed scan that was registered"):
        Carrier.read(result, fixed=str(moving.folder), moving=str(moving.folder))
