"""MONAI Deploy at home: DICOM in, DICOM and NIfTI out, and the same voxels as a run of the bundle on NIfTI."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import nibabel as nib
import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
import torch
from monai.bundle import run
from monai.transforms import Orientation

from bundle.io import read_image, write_image
from bundle.io.transform_file import PRECISION_MM
from tests.deformable import read_deformable
from tests.formats.dicom.conftest import edit, write_enhanced
from tests.hosts.deploy_app import ROOT, needs_deploy, run_app
from tests.io.conftest import write_dicom_series

PAIR = ROOT.parent / "shared" / "data" / "followup_pair"
STEP = (2, 3, 1)  # of the voxels taken: pixels that are no squares
SPACING_MM = 4.0  # a network grid that takes seconds
STUDY = {"StudyInstanceUID": "1.2.826.0.1.3680043.8.498.7", "PatientID": "17", "PatientName": "Doe^Jane"}
SERIES = {"fixed": {"SeriesDescription": "Thorax INSPIRATION"}, "moving": {"SeriesDescription": "Thorax expiration"}}

pytestmark = [pytest.mark.slow, needs_deploy]


class Pair(NamedTuple):
    """One pair in both forms: the folder of its DICOM series, and its NIfTI files."""

    dicom: Path
    nifti: dict[str, Path]


@pytest.fixture(scope="module")
def pair(small_phantoms: Path, tmp_path_factory: pytest.TempPathFactory) -> Pair:
    """A real pair where there is one, else a phantom, with a geometry that float32 and text hold alike."""
    source, suffix = (PAIR, ".mha") if PAIR.exists() else (small_phantoms / "test_00", ".nii.gz")
    folder = tmp_path_factory.mktemp("pair")
    nifti = {}
    for key, attributes in SERIES.items():
        scan = Orientation(axcodes="LPS", labels=None)(read_image(source / f"{key}{suffix}"))
        voxels = scan[0].as_tensor()[:: STEP[0], :: STEP[1], :: STEP[2]].round().short()
        affine = (scan.affine @ torch.diag(torch.tensor([*STEP, 1.0], dtype=torch.float64)) * 8).round() / 8
        write_dicom_series(
            folder / "dicom" / key, voxels.numpy() + 1024, affine, intercept=-1024, **STUDY, **attributes
        )
        nifti[key] = folder / f"{key}.nii.gz"
        write_image(nifti[key], voxels, affine, dtype=np.int16)
    return Pair(folder / "dicom", nifti)


@pytest.fixture(scope="module")
def expected(pair: Pair, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Results of a run of the bundle on the NIfTI files."""
    out = tmp_path_factory.mktemp("run")
    run(
        run_id="inference",
        config_file=str(ROOT / "configs" / "inference.json"),
        bundle_root=str(ROOT),
        output_dir=str(out),
        spacing_mm=SPACING_MM,
        **{key: str(path) for key, path in pair.nifti.items()},
    )
    return out


@pytest.fixture(scope="module")
def torchscript(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bundle as one file with its configs, and the recipe beside it."""
    path = tmp_path_factory.mktemp("torchscript") / "model.ts"
    command = [sys.executable, "-m", "monai.bundle", "ckpt_export", "network_def", "--filepath", str(path)]
    files = {"ckpt": "models/model.pt", "meta": "configs/metadata.json", "config": "configs/inference.json"}
    command += [part for name, file in files.items() for part in (f"--{name}_file", file)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    shutil.copy(ROOT / "models" / "model.json", path.with_suffix(".json"))
    return path


@pytest.fixture(scope="module", params=["directory", "TorchScript"])
def deployed(
    request: pytest.FixtureRequest, pair: Pair, torchscript: Path, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """Results of the application on the DICOM series."""
    out = tmp_path_factory.mktemp("deployed")
    options = ["--model", torchscript] if request.param == "TorchScript" else []
    done = run_app(pair.dicom, out, "--spacing_mm", str(SPACING_MM), *options)
    assert done.returncode == 0, done.stderr
    return out


def read_series(folder: Path) -> sitk.Image:
    reader = sitk.ImageSeriesReader()
    reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(folder)))
    return reader.Execute()


@pytest.mark.parametrize("name", ["warped", "jacobian"])
def test_every_voxel_equals_a_run_of_the_bundle(
    name: str, deployed: Path, expected: Path, request: pytest.FixtureRequest
) -> None:
    ours, theirs = (nib.load(folder / f"{name}.nii.gz") for folder in (deployed, expected))
    np.testing.assert_array_equal(ours.affine, theirs.affine)
    if "TorchScript" not in request.node.name:
        np.testing.assert_array_equal(ours.dataobj, theirs.dataobj)
        return
    # its network sums in another order: a difference of 1e-8 that grows over the steps of the instance optimisation
    difference = np.abs(np.asarray(ours.dataobj, np.float64) - theirs.dataobj)
    assert difference.mean() < {"warped": 10.0, "jacobian": 0.01}[name]


def test_the_warped_series_holds_the_warped_scan_on_the_fixed_series_grid(deployed: Path, pair: Pair) -> None:
    warped, fixed = read_series(deployed / "warped_dicom"), read_series(pair.dicom / "fixed")
    for attribute in ("Size", "Origin", "Spacing", "Direction"):
        assert getattr(warped, f"Get{attribute}")() == getattr(fixed, f"Get{attribute}")()
    nifti = sitk.ReadImage(str(deployed / "warped.nii.gz"))
    np.testing.assert_array_equal(sitk.GetArrayFromImage(warped), sitk.GetArrayFromImage(nifti))


def test_the_warped_series_belongs_to_the_patient_and_study_and_names_its_sources(deployed: Path, pair: Pair) -> None:
    source = {key: [pydicom.dcmread(file) for file in sorted((pair.dicom / key).iterdir())] for key in SERIES}
    slices = [pydicom.dcmread(file) for file in sorted((deployed / "warped_dicom").iterdir())]
    assert len(slices) == len(source["fixed"])
    moving_uids = {slice_.SOPInstanceUID for slice_ in source["moving"]}
    for slice_, like in zip(slices, source["fixed"], strict=True):
        for keyword in ("PatientID", "PatientName", "StudyInstanceUID", "FrameOfReferenceUID", "ImagePositionPatient"):
            assert slice_[keyword].value == like[keyword].value
        assert {item.ReferencedSOPInstanceUID for item in slice_.SourceImageSequence} <= moving_uids
        series = [item.SeriesInstanceUID for item in slice_.ReferencedSeriesSequence]
        assert series == [source[key][0].SeriesInstanceUID for key in ("fixed", "moving")]
        assert slice_.SeriesInstanceUID not in series


def test_the_registration_object_carries_points_as_the_itk_transform_does(deployed: Path, pair: Pair) -> None:
    transform = read_deformable(deployed / "registration.dcm")
    itk_file = sitk.ReadTransform(str(deployed / "transform.h5"))
    fixed = read_series(pair.dicom / "fixed")
    voxels = np.random.default_rng(0).integers(0, fixed.GetSize(), (100, 3))  # where the object holds its vectors
    points = [fixed.TransformContinuousIndexToPhysicalPoint(voxel) for voxel in voxels.tolist()]
    carried = np.array([[t.TransformPoint(point) for point in points] for t in (transform, itk_file)])
    assert np.linalg.norm(carried[1] - points, axis=1).mean() > 5.0
    affine = np.array(json.loads((deployed / "report.json").read_text())["initial_affine_ras_mm"])
    half_step_mm = PRECISION_MM / 2 * np.abs(affine[:3, :3]).sum(axis=1).max()
    assert np.abs(carried[0] - carried[1]).max() <= half_step_mm + 1e-3


def test_itk_warps_the_moving_series_by_the_registration_object_alone(deployed: Path, pair: Pair) -> None:
    fixed, moving = (read_series(pair.dicom / key) for key in ("fixed", "moving"))
    transform = read_deformable(deployed / "registration.dcm")
    theirs = sitk.Resample(sitk.Cast(moving, sitk.sitkFloat32), fixed, transform, sitk.sitkLinear, -1000.0)
    ours = sitk.GetArrayFromImage(read_series(deployed / "warped_dicom")).astype(float)
    assert np.median(np.abs(sitk.GetArrayFromImage(theirs) - ours)) <= 0.5
    assert np.percentile(np.abs(sitk.GetArrayFromImage(theirs) - ours), 99) <= 2.0


def test_two_phases_of_a_series_of_multi_frame_files_give_the_same_voxels(
    pair: Pair, expected: Path, tmp_path: Path
) -> None:
    """The frames are shuffled; each warped slice names the frames it was made from."""
    for percent, key in ((0, "fixed"), (50, "moving")):
        slices = sorted((pair.dicom / key).iterdir())
        order = np.random.default_rng(percent).permutation(len(slices)).tolist()
        (tmp_path / "scans").mkdir(exist_ok=True)
        write_enhanced(tmp_path / "scans" / key, slices, order, phases=[percent] * len(slices))
        edit(tmp_path / "scans" / key, SeriesInstanceUID="1.2.3.4.5", SeriesDescription="gated")
    out = tmp_path / "out"
    phases = ["--fixed_series", "gated#0%", "--moving_series", "gated#50%"]
    done = run_app(tmp_path / "scans", out, "--spacing_mm", str(SPACING_MM), *phases)
    assert done.returncode == 0, done.stderr
    for name in ("warped.nii.gz", "jacobian.nii.gz"):
        np.testing.assert_array_equal(nib.load(out / name).dataobj, nib.load(expected / name).dataobj)
    series = json.loads((out / "report.json").read_text())["dicom_series"]
    assert [series[key]["phase"] for key in SERIES] == ["0", "50"]
    fixed = pydicom.dcmread(tmp_path / "scans" / "fixed")
    positions = [
        group.PlanePositionSequence[0].ImagePositionPatient for group in fixed.PerFrameFunctionalGroupsSequence
    ]
    slices = [pydicom.dcmread(file) for file in (out / "warped_dicom").iterdir()]
    assert len(slices) == len(positions)
    for slice_ in slices:
        (item,) = slice_.ReferencedImageSequence
        assert slice_.ImagePositionPatient == positions[item.ReferencedFrameNumber - 1]
        assert item.ReferencedSOPInstanceUID == fixed.SOPInstanceUID
