from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk
import torch

from bundle.geometry import swap_ras_lps
from bundle.io import check_header, read_landmarks_mm, write_landmarks_csv, write_transform
from scripts.apply import apply
from tests.conftest import SyntheticPair
from tests.grids import from_sitk


class Written(NamedTuple):
    """Files of a pair and of a transform between its scans, which SimpleITK holds too."""

    item: dict[str, str]
    file: Path
    transform: sitk.Transform


@pytest.fixture(scope="module")
def written(synthetic_pair: Callable[..., SyntheticPair], tmp_path_factory: pytest.TempPathFactory) -> Written:
    pair = synthetic_pair()
    file = tmp_path_factory.mktemp("result") / "transform.h5"
    write_transform(file, pair.gentle_transform, check_header(pair.item["fixed"]).corners_mm)
    return Written(pair.item, file, sitk.ReadTransform(file))


def resampled(
    image: str, reference: str, transform: sitk.Transform, interpolator: int, fill: float = -1000.0
) -> torch.Tensor:
    return from_sitk(
        sitk.Resample(sitk.ReadImage(image), sitk.ReadImage(reference), transform, interpolator, fill, sitk.sitkFloat64)
    )


def inverse_of(transform: sitk.Transform, grid: str) -> sitk.Transform:
    """SimpleITK's own inverse: the composite's field inverted by its filter, and its affine's inverse."""
    affine, field = [sitk.CompositeTransform(transform).GetNthTransform(number) for number in (0, 1)]
    vectors = sitk.DisplacementFieldTransform(field).GetDisplacementField()
    inverter = sitk.InvertDisplacementFieldImageFilter()
    inverter.SetMaximumNumberOfIterations(200)
    inverter.SetMeanErrorToleranceThreshold(1e-4)
    inverter.SetMaxErrorToleranceThreshold(1e-3)
    inverse = sitk.CompositeTransform(3)
    inverse.AddTransform(sitk.DisplacementFieldTransform(inverter.Execute(sitk.Cast(vectors, sitk.sitkVectorFloat64))))
    inverse.AddTransform(affine.GetInverse())
    return inverse


@pytest.mark.parametrize(("image", "interpolator"), [("linear", sitk.sitkLinear), ("bspline", sitk.sitkBSpline)])
def test_a_scan_comes_to_the_fixed_grid_as_simpleitk_brings_it(
    image: str, interpolator: int, written: Written, tmp_path: Path
) -> None:
    out = tmp_path / "warped.nii.gz"
    apply(str(written.file), written.item["moving"], str(out), reference=written.item["fixed"], image=image)
    warped = sitk.ReadImage(out)
    fixed = sitk.ReadImage(written.item["fixed"])
    assert warped.GetSize() == fixed.GetSize()
    np.testing.assert_allclose(warped.GetDirection(), fixed.GetDirection(), atol=1e-6)
    expected = resampled(written.item["moving"], written.item["fixed"], written.transform, interpolator)
    torch.testing.assert_close(from_sitk(warped), expected, atol=0.05, rtol=0)


def test_labels_stay_labels(written: Written, tmp_path: Path) -> None:
    three = nib.load(_three_labels(written.item, tmp_path))
    for labels in ("nearest", "one_hot"):
        out = tmp_path / f"{labels}.nii.gz"
        apply(str(written.file), three.get_filename(), str(out), reference=written.item["fixed"], labels=labels)
        assert nib.load(out).get_data_dtype() == np.int16
        assert np.unique(nib.load(out).dataobj).tolist() == [0, 7, 300]


def test_nearest_labels_are_simpleitks(written: Written, tmp_path: Path) -> None:
    labels, out = _three_labels(written.item, tmp_path), tmp_path / "out.nii.gz"
    apply(str(written.file), labels, str(out), reference=written.item["fixed"], labels="nearest")
    expected = resampled(labels, written.item["fixed"], written.transform, sitk.sitkNearestNeighbor, 0.0)
    assert (from_sitk(sitk.ReadImage(out)) != expected).double().mean() < 1e-4  # ties of rounding


def test_one_hot_labels_are_the_largest_of_simpleitks_linear_shares(written: Written, tmp_path: Path) -> None:
    labels, out = _three_labels(written.item, tmp_path), tmp_path / "out.nii.gz"
    apply(str(written.file), labels, str(out), reference=written.item["fixed"], labels="one_hot")
    values = torch.tensor([0.0, 7.0, 300.0], dtype=torch.float64)
    shares = torch.stack([_share(labels, value, written) for value in values.tolist()])
    top = shares.topk(2, dim=0).values
    clear = top[0] - top[1] > 1e-3
    expected = values[shares.argmax(dim=0)]
    assert clear.double().mean() > 0.99
    assert torch.equal(from_sitk(sitk.ReadImage(out))[clear], expected[clear])


def test_the_inverse_brings_a_scan_to_the_moving_grid(written: Written, tmp_path: Path) -> None:
    out = tmp_path / "back.nii.gz"
    apply(
        str(written.file), written.item["fixed"], str(out), reference=written.item["moving"], image="linear",
        inverse=True,
    )  # fmt: skip
    inverse = inverse_of(written.transform, written.item["moving"])
    expected = resampled(written.item["fixed"], written.item["moving"], inverse, sitk.sitkLinear)
    inside = from_sitk(sitk.ReadImage(written.item["moving_mask"])) > 0
    assert (from_sitk(sitk.ReadImage(out)) - expected)[inside].abs().mean() < 1.0


@pytest.mark.parametrize("system", ["LPS", "RAS"])
def test_landmarks_go_as_simpleitk_moves_points_and_come_back(system: str, written: Written, tmp_path: Path) -> None:
    there, back = tmp_path / "there.mrk.json", tmp_path / "back.csv"
    apply(str(written.file), written.item["fixed_landmarks"], str(there), landmarks=True, system=system)
    points_mm = read_landmarks_mm(written.item["fixed_landmarks"], None)
    moved = [written.transform.TransformPoint(point) for point in swap_ras_lps(points_mm).tolist()]
    moved_mm = swap_ras_lps(torch.tensor(moved, dtype=torch.float64))
    torch.testing.assert_close(read_landmarks_mm(there, None), moved_mm, atol=1e-6, rtol=0)
    apply(str(written.file), str(there), str(back), landmarks=True, inverse=True)
    torch.testing.assert_close(read_landmarks_mm(back, None), points_mm, atol=1e-3, rtol=0)


def test_voxel_landmarks_take_their_place_from_the_reference(written: Written, tmp_path: Path) -> None:
    (tmp_path / "dirlab.txt").write_text("11 21 31\n")
    header = check_header(written.item["fixed"])
    write_landmarks_csv(tmp_path / "mm.csv", (header.affine @ torch.tensor([10.0, 20, 30, 1]).double())[None, :3])
    for name, reference in (("dirlab.txt", written.item["fixed"]), ("mm.csv", None)):
        out = str(tmp_path / f"{name}.out.csv")
        apply(str(written.file), str(tmp_path / name), out, reference=reference, landmarks=True)
    of_voxels, of_mm = [read_landmarks_mm(tmp_path / f"{name}.out.csv", None) for name in ("dirlab.txt", "mm.csv")]
    torch.testing.assert_close(of_voxels, of_mm, atol=1e-5, rtol=0)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "expected one of --image, --labels and --landmarks, got none"),
        ({"image": "linear", "labels": "nearest"}, "expected one of --image, --labels and --landmarks, got"),
        ({"image": "cubic"}, r"--image: expected one of \('linear', 'bspline'\), got 'cubic'"),
        ({"labels": True}, r"--labels: expected one of \('nearest', 'one_hot'\), got True"),
        ({"labels": "nearest"}, "--labels needs --reference"),
        ({"landmarks": True}, r"out\.nii\.gz: expected a name ending in one of .*mrk\.json.* for --landmarks"),
    ],
)
def test_options_that_do_not_fit_are_refused(options: dict, message: str, written: Written, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=message):
        apply(str(written.file), written.item["moving"], str(tmp_path / "out.nii.gz"), **options)
    assert not list(tmp_path.iterdir())


def test_a_scan_is_not_taken_for_labels(written: Written, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"moving\.nii\.gz: expected whole numbers from 0, at most 1000"):
        apply(
            str(written.file), written.item["moving"], str(tmp_path / "out.nii.gz"),
            reference=written.item["fixed"], labels="nearest",
        )  # fmt: skip


def _three_labels(item: dict[str, str], folder: Path) -> str:
    """A label map on the moving grid: 7 and 300 in the lungs' lower and upper half."""
    image = sitk.Cast(sitk.ReadImage(item["moving_mask"]), sitk.sitkInt16)
    voxels = sitk.GetArrayFromImage(image) * 7
    voxels[voxels.shape[0] // 2 :] *= 300
    voxels[voxels == 2100] = 300
    labels = sitk.GetImageFromArray(voxels)
    labels.CopyInformation(image)
    sitk.WriteImage(labels, folder / "labels.nii.gz")
    return str(folder / "labels.nii.gz")


def _share(labels: str, value: float, written: Written) -> torch.Tensor:
    """What SimpleITK's linear interpolation gives of one label on the fixed grid; outside all is background."""
    indicator = sitk.Cast(sitk.ReadImage(labels) == value, sitk.sitkFloat64)
    fixed, outside = sitk.ReadImage(written.item["fixed"]), float(value == 0)
    return from_sitk(sitk.Resample(indicator, fixed, written.transform, sitk.sitkLinear, outside))
