from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from math import sqrt
from pathlib import Path
from typing import NamedTuple

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk
import torch

from bundle.geometry import swap_ras_lps
from bundle.io import (
    check_header,
    read_landmarks,
    read_landmarks_mm,
    write_displacement,
    write_image,
    write_landmarks_csv,
    write_transform,
)
from bundle.io.transform_file import INVERSE_PRECISION_MM, PRECISION_MM
from scripts.apply import apply
from tests.conftest import SyntheticPair
from tests.formats.dicom.conftest import hu, write_series
from tests.grids import from_sitk, steepness

# Both files are rounded by half a step along each axis; the inverse of one of them changes a vector 1.15-fold here.
ROUNDED_MM = 1.15 * (PRECISION_MM + INVERSE_PRECISION_MM) / 2


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


@pytest.fixture(scope="module")
def inverse_file(synthetic_pair: Callable[..., SyntheticPair], written: Written) -> Path:
    """The inverse of the transform, as a registration writes it beside the transform."""
    file = written.file.with_name("inverse_transform.h5")
    corners_mm = check_header(written.item["moving"]).corners_mm
    write_transform(file, synthetic_pair().gentle_transform.inverse(), corners_mm, field_last=True)
    return file


def test_the_written_inverse_does_with_a_scan_what_the_inverse_option_does(
    inverse_file: Path, written: Written, tmp_path: Path
) -> None:
    fixed, moving = written.item["fixed"], written.item["moving"]
    for file, name, inverse in ((written.file, "option", True), (inverse_file, "file", False)):
        apply(str(file), fixed, str(tmp_path / f"{name}.nii.gz"), reference=moving, image="linear", inverse=inverse)
    scans = [from_sitk(sitk.ReadImage(tmp_path / f"{name}.nii.gz")) for name in ("option", "file")]
    steepest = steepness(sitk.ReadImage(fixed), sitk.ReadImage(moving), sitk.ReadTransform(inverse_file))
    inside = from_sitk(sitk.ReadImage(written.item["moving_mask"])) > 0
    difference = (scans[0] - scans[1])[inside].abs()
    assert difference.mean() < 0.5
    assert (difference <= 0.01 + sqrt(3) * ROUNDED_MM * steepest[inside]).all()


def test_the_written_inverse_brings_landmarks_back(
    synthetic_pair: Callable[..., SyntheticPair], inverse_file: Path, written: Written, tmp_path: Path
) -> None:
    there = tmp_path / "there.csv"
    apply(str(written.file), written.item["fixed_landmarks"], str(there), landmarks=True)
    for file, name, inverse in ((written.file, "option", True), (inverse_file, "file", False)):
        apply(str(file), str(there), str(tmp_path / f"{name}.csv"), landmarks=True, inverse=inverse)
    by_option, by_file = (read_landmarks_mm(tmp_path / f"{name}.csv", None) for name in ("option", "file"))
    expected = synthetic_pair().gentle_transform.inverse().transform_points_mm(read_landmarks_mm(there, None))
    torch.testing.assert_close(by_file, expected, atol=INVERSE_PRECISION_MM / 2 + 1e-3, rtol=0)
    # The option solves for each point; the file interpolates between voxels of 11 to 14 mm.
    assert (by_file - by_option).norm(dim=1).max() < 0.2


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
        ({"labels": "nearest", "reference": "a", "fill": 3.0}, "--fill: expected --image, got --labels"),
        ({"image": "linear", "reference": "a", "landmark_system": "lps"}, "--landmark_system: expected --landmarks"),
        ({"image": "linear", "reference": "a", "system": "RAS"}, r"out\.nii\.gz: expected a \.mrk\.json for --system"),
    ],
)
def test_options_that_do_not_fit_are_refused(options: dict, message: str, written: Written, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=message):
        apply(str(written.file), written.item["moving"], str(tmp_path / "out.nii.gz"), **options)
    assert not list(tmp_path.iterdir())


def test_a_scan_is_not_taken_for_labels(written: Written, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"moving\.nii\.gz: expected whole numbers, at most 1000 different ones, got"):
        apply(
            str(written.file), written.item["moving"], str(tmp_path / "out.nii.gz"),
            reference=written.item["fixed"], labels="nearest",
        )  # fmt: skip


@pytest.fixture(scope="module")
def apart(written: Written, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The pair with its moving scan 600 mm further along, and `displacement.nii.gz` on the fixed grid."""
    folder, item = tmp_path_factory.mktemp("apart"), dict(written.item)
    shift = sitk.TranslationTransform(3, (0.0, 0.0, 600.0))
    for key in ("moving", "moving_mask"):
        image = sitk.ReadImage(item[key])
        image.SetOrigin(shift.TransformPoint(image.GetOrigin()))
        item[key] = str(folder / f"{key}.nii.gz")
        sitk.WriteImage(image, item[key])
    fixed = sitk.ReadImage(item["fixed"])
    composite = sitk.CompositeTransform([shift, written.transform])
    field = sitk.TransformToDisplacementField(
        composite, sitk.sitkVectorFloat64, fixed.GetSize(), fixed.GetOrigin(), fixed.GetSpacing(), fixed.GetDirection()
    )
    vectors_ras = swap_ras_lps(torch.from_numpy(sitk.GetArrayFromImage(field))).permute(3, 2, 1, 0)
    write_displacement(folder / "displacement.nii.gz", vectors_ras, check_header(item["fixed"]).affine)
    return item | {"field": str(folder / "displacement.nii.gz")}


def test_the_inverse_of_a_field_brings_scans_back_that_are_600_mm_apart(
    apart: dict[str, str], written: Written, tmp_path: Path
) -> None:
    out = tmp_path / "back.nii.gz"
    apply(apart["field"], apart["fixed_mask"], str(out), reference=apart["moving"], labels="nearest", inverse=True)
    found = from_sitk(sitk.ReadImage(out)) > 0
    inverse = inverse_of(written.transform, written.item["moving"])  # of the pair before it was moved apart
    nearest = sitk.sitkNearestNeighbor
    expected = resampled(written.item["fixed_mask"], written.item["moving"], inverse, nearest, 0.0) > 0
    assert expected.sum() > 8000
    assert 2 * (found & expected).sum() / (found.sum() + expected.sum()) > 0.98


def test_landmarks_come_back_through_a_field_600_mm_long(apart: dict[str, str], tmp_path: Path) -> None:
    there, back = tmp_path / "there.mrk.json", tmp_path / "back.csv"
    apply(apart["field"], apart["fixed_landmarks"], str(there), landmarks=True)
    apply(apart["field"], str(there), str(back), landmarks=True, inverse=True)
    points_mm = read_landmarks_mm(apart["fixed_landmarks"], None)
    assert (read_landmarks_mm(there, None) - points_mm)[:, 2].mean() > 600
    torch.testing.assert_close(read_landmarks_mm(back, None), points_mm, atol=1e-2, rtol=0)


@pytest.mark.parametrize(("inverse", "outside_vox"), [(False, 1.0), (False, 900.0), (True, 9.0)])
def test_points_outside_a_field_are_refused_by_number(
    inverse: bool, outside_vox: float, apart: dict[str, str], tmp_path: Path
) -> None:
    header = check_header(apart["fixed"])
    middle = [side / 2 for side in header.shape]
    points_mm = torch.tensor([[*middle, 1], [-outside_vox] * 3 + [1]], dtype=torch.float64) @ header.affine.T
    if inverse:
        points_mm[:, 2] += 600
    write_landmarks_csv(tmp_path / "in.csv", points_mm[:, :3])
    with pytest.raises(ValueError, match=r"in\.csv: expected points inside the displacement field of .*outside: 2$"):
        apply(apart["field"], str(tmp_path / "in.csv"), str(tmp_path / "out.csv"), landmarks=True, inverse=inverse)
    assert not (tmp_path / "out.csv").exists()


def test_landmarks_of_another_world_are_refused(apart: dict[str, str], tmp_path: Path) -> None:
    there = tmp_path / "there.csv"
    apply(apart["field"], apart["fixed_landmarks"], str(there), landmarks=True)
    with pytest.raises(ValueError, match=r"there\.csv: expected points inside the displacement field of .*outside: 1,"):
        apply(apart["field"], str(there), str(tmp_path / "twice.csv"), landmarks=True)
    assert not (tmp_path / "twice.csv").exists()


@pytest.mark.parametrize(
    ("low", "high", "options", "expected"),
    [
        (-1024.0, 1200.0, {}, -1000.0),
        (0.0, 70.0, {}, 0.0),
        (-3.0, 4.0, {}, 0.0),
        (0.0, 70.0, {"fill": -5.0}, -5.0),
        (-1024.0, 1200.0, {"fill": 0.0}, 0.0),
    ],
    ids=["HU", "dose", "normalised", "fill", "fill in HU"],
)
def test_outside_is_air_for_hu_and_nothing_for_a_dose(
    low: float, high: float, options: dict[str, float], expected: float, written: Written, tmp_path: Path
) -> None:
    affine = check_header(written.item["moving"]).affine
    voxels = torch.linspace(low, high, 8 * 9 * 10).view(8, 9, 10)
    write_image(tmp_path / "input.nii.gz", voxels, affine)
    out = tmp_path / "out.nii.gz"
    apply(str(written.file), str(tmp_path / "input.nii.gz"), str(out), written.item["fixed"], "linear", **options)
    assert nib.load(out).get_fdata()[-1, -1, -1] == expected
    assert nib.load(out).get_fdata().max() <= max(high, expected) + 1e-3


@pytest.mark.parametrize("kind", ["uint8", "int8", "uint16", "int16", "uint32", "int32", "int64", "float32", "float64"])
@pytest.mark.parametrize("labels", ["nearest", "one_hot"])
def test_labels_of_every_type_come_back_exactly(labels: str, kind: str, written: Written, tmp_path: Path) -> None:
    mask = nib.load(_three_labels(written.item, tmp_path))
    largest = 2**24 - 1 if kind == "float32" else 2**40 + 1 if kind == "float64" else int(np.iinfo(kind).max)
    table = np.zeros(301, kind)
    table[[7, 300]] = 3, largest
    voxels = table[np.asarray(mask.dataobj)]
    nib.save(nib.Nifti1Image(voxels, mask.affine, dtype=np.dtype(kind)), tmp_path / "typed.nii.gz")
    out = tmp_path / "out.nii.gz"
    apply(str(written.file), str(tmp_path / "typed.nii.gz"), str(out), reference=written.item["fixed"], labels=labels)
    found = np.asarray(nib.load(out).dataobj)
    assert found.dtype.kind in "iu"
    assert kind.startswith("float") or found.dtype == np.dtype(kind)
    assert [int(value) for value in np.unique(found)] == [0, 3, largest]


def test_names_of_landmarks_come_back(written: Written, tmp_path: Path) -> None:
    points = swap_ras_lps(read_landmarks_mm(written.item["fixed_landmarks"], None)).tolist()
    rows = "".join(f"F-{n},{x},{y},{z},1,1,tip {n}\n" for n, (x, y, z) in enumerate(points))
    (tmp_path / "slicer.csv").write_text("label,l,p,s,defined,selected,description\n" + rows)
    for name in ("out.csv", "out.mrk.json"):
        apply(str(written.file), str(tmp_path / "slicer.csv"), str(tmp_path / name), landmarks=True)
        assert read_landmarks(tmp_path / name, None).names == [(f"F-{n}", f"tip {n}") for n in range(len(points))]


def test_the_script_runs_as_a_file_from_any_folder(written: Written, tmp_path: Path) -> None:
    script = Path(__file__).parents[2] / "scripts" / "apply.py"
    command = [sys.executable, script, written.file, written.item["fixed_landmarks"], "1e5.csv", "--landmarks"]
    subprocess.run(command, cwd=tmp_path, check=True)
    assert [path.name for path in tmp_path.iterdir()] == ["1e5.csv"]


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


def test_series_of_a_dicom_folder_are_chosen_for_input_and_reference(tmp_path: Path) -> None:
    """Warped by the identity, so the moving series comes back; without a choice the error names its option."""
    scans = tmp_path / "scans"
    for number, name in enumerate(("inhale", "exhale")):
        write_series(scans / name, seed=number, SeriesDescription=name)
    sitk.WriteTransform(sitk.TranslationTransform(3), str(tmp_path / "identity.tfm"))
    files = {"transform": str(tmp_path / "identity.tfm"), "output": str(tmp_path / "warped.nii.gz")}
    files |= {"input": str(scans), "reference": str(scans)}
    for chosen, missing in (("input_series", "reference_series"), ("reference_series", "input_series")):
        with pytest.raises(ValueError, match=rf"expected one CT series, found 2; .* \(--{missing}\)"):
            apply(**files, image="linear", **{chosen: "inhale"})
    apply(**files, image="linear", input_series="exhale", reference_series="inhale")
    np.testing.assert_allclose(nib.load(tmp_path / "warped.nii.gz").get_fdata(), hu(1), atol=0.01)
