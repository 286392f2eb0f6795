from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
import torch

from bundle.geometry import apply_affine, swap_ras_lps
from bundle.io import read_linear_transform


def euler() -> sitk.Transform:
    transform = sitk.Euler3DTransform((12.0, -30.0, 700.0), 0.1, -0.2, 0.3)
    transform.SetTranslation((4.0, 50.0, -33.0))
    return transform


def affine() -> sitk.Transform:
    transform = sitk.AffineTransform(3)
    transform.SetMatrix((1.05, 0.1, -0.02, 0.03, 0.92, 0.08, -0.06, 0.04, 1.1))
    transform.SetTranslation((-7.0, 3.0, 41.0))
    transform.SetCenter((20.0, 30.0, -150.0))
    return transform


def versor() -> sitk.Transform:
    return sitk.VersorRigid3DTransform((0.0, 0.6, 0.8), 0.4, (1.0, 2.0, 3.0), (100.0, 0.0, -50.0))


def composite() -> sitk.Transform:
    transform = sitk.CompositeTransform(3)
    for part in (euler(), affine(), sitk.TranslationTransform(3, (5.0, -6.0, 7.0))):
        transform.AddTransform(part)
    return transform


@pytest.mark.parametrize("suffix", [".tfm", ".txt", ".h5"])
@pytest.mark.parametrize("make", [euler, affine, versor, composite])
def test_points_move_as_simpleitk_moves_them(make: Callable[[], sitk.Transform], suffix: str, tmp_path: Path) -> None:
    transform = make()
    sitk.WriteTransform(transform, tmp_path / f"initial{suffix}")
    points_lps = torch.from_numpy(np.random.default_rng(0).uniform(-300, 300, (20, 3)))
    expected = torch.tensor([transform.TransformPoint(point) for point in points_lps.tolist()], dtype=torch.float64)
    matrix = read_linear_transform(tmp_path / f"initial{suffix}")
    assert matrix.dtype == torch.float64
    moved = apply_affine(matrix, swap_ras_lps(points_lps))
    torch.testing.assert_close(swap_ras_lps(moved), expected, atol=1e-6, rtol=0)


def test_the_matrix_of_a_translation_is_in_ras_mm(tmp_path: Path) -> None:
    sitk.WriteTransform(sitk.TranslationTransform(3, (5.0, -6.0, 7.0)), tmp_path / "shift.tfm")
    expected = torch.eye(4, dtype=torch.float64)
    expected[:3, 3] = torch.tensor([-5.0, 6.0, 7.0])
    torch.testing.assert_close(read_linear_transform(str(tmp_path / "shift.tfm")), expected)


def test_an_ants_matrix_file_is_read(tmp_path: Path) -> None:
    sitk.WriteTransform(affine(), tmp_path / "0GenericAffine.mat")
    point = (10.0, -20.0, 30.0)
    moved = apply_affine(
        read_linear_transform(tmp_path / "0GenericAffine.mat"),
        swap_ras_lps(torch.tensor([point], dtype=torch.float64)),
    )
    torch.testing.assert_close(swap_ras_lps(moved)[0].tolist(), list(affine().TransformPoint(point)), atol=1e-6, rtol=0)


def test_a_list_of_transforms_is_refused_since_readers_disagree_on_it(tmp_path: Path) -> None:
    texts = []
    for number, make in enumerate((euler, affine)):
        sitk.WriteTransform(make(), tmp_path / "one.tfm")
        lines = (tmp_path / "one.tfm").read_text().splitlines()
        texts += [f"#Transform {number}", *[line for line in lines if line and not line.startswith("#")]]
    (tmp_path / "both.tfm").write_text("\n".join(["#Insight Transform File V1.0", *texts]) + "\n")
    with pytest.raises(ValueError, match=r"both\.tfm: expected one transform, or several as one Comp.*, got 2"):
        read_linear_transform(tmp_path / "both.tfm")


@pytest.mark.parametrize("name", ["landmarks.txt", "initial.tfm", "initial.h5", "initial.xfm"])
def test_another_file_is_named_in_the_error(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text("point\n1\n1 2 3\n")
    with pytest.raises(ValueError, match=rf"{name}: cannot be read as an ITK transform"):
        read_linear_transform(tmp_path / name)


def test_a_missing_file_is_named_in_the_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"a\.tfm: no such transform file \(expected an ITK transform: \.tfm"):
        read_linear_transform(tmp_path / "a.tfm")


def bspline() -> sitk.Transform:
    return sitk.BSplineTransform(3)


def displacement_field() -> sitk.Transform:
    return sitk.DisplacementFieldTransform(sitk.Image(4, 4, 4, sitk.sitkVectorFloat64))


def affine_then_field() -> sitk.Transform:
    transform = sitk.CompositeTransform(3)
    transform.AddTransform(affine())
    transform.AddTransform(displacement_field())
    return transform


@pytest.mark.parametrize("make", [bspline, displacement_field, affine_then_field])
def test_a_deformable_transform_is_refused(make: Callable[[], sitk.Transform], tmp_path: Path) -> None:
    sitk.WriteTransform(make(), tmp_path / "deformation.h5")
    with pytest.raises(ValueError, match=r"deformation\.h5: expected a linear 3-D transform, got \w+"):
        read_linear_transform(tmp_path / "deformation.h5")


def test_a_two_dimensional_transform_is_refused(tmp_path: Path) -> None:
    sitk.WriteTransform(sitk.Euler2DTransform(), tmp_path / "flat.tfm")
    with pytest.raises(ValueError, match=r"flat\.tfm: expected a 3-D transform"):
        read_linear_transform(tmp_path / "flat.tfm")


def test_a_file_without_a_transform_is_refused(tmp_path: Path) -> None:
    (tmp_path / "empty.tfm").write_text("#Insight Transform File V1.0\n")
    with pytest.raises(ValueError, match=r"empty\.tfm: (cannot be read|expected one transform)"):
        read_linear_transform(tmp_path / "empty.tfm")


def test_a_transform_that_flattens_space_is_refused(tmp_path: Path) -> None:
    flat = sitk.AffineTransform(3)
    flat.SetMatrix((1, 0, 0, 0, 1, 0, 0, 0, 0))
    sitk.WriteTransform(flat, tmp_path / "flat.txt")
    with pytest.raises(ValueError, match=r"flat\.txt: .*singular: expected a volume factor above 0\.001, got"):
        read_linear_transform(tmp_path / "flat.txt")
