from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk
import torch
from monai.data import MetaTensor

from bundle.geometry import WorldTransform
from bundle.series.volumes import MaximumVolume, MeanVolume, no_motion
from tests.grids import affine_to_sitk, from_sitk, make_affine, rotation, to_sitk

SHAPE = (20, 18, 14)
REFERENCE = MetaTensor(torch.zeros(1, *SHAPE), affine=make_affine(SHAPE, (3.0, 2.5, 5.0), angles_deg=(10, -20, 5)))
NAN = -30000.0


def scans() -> list[MetaTensor]:
    """Two random scans on other grids, the second one over a part of the reference only."""
    grids = [
        make_affine((24, 22, 20), (3.0, 3.0, 4.0), angles_deg=(0, 0, 30), flip=(-1, 1, 1)),
        make_affine((10, 12, 9), (4.0, 3.0, 4.0), angles_deg=(5, 5, 0), centre_mm=(14.0, 0.0, -9.0)),
    ]
    generator = torch.Generator().manual_seed(0)
    shapes = [(24, 22, 20), (10, 12, 9)]
    return [
        MetaTensor(torch.rand(1, *shape, generator=generator) * 1500 - 1000, affine=grid)
        for shape, grid in zip(shapes, grids, strict=True)
    ]


def resampled(scan: MetaTensor, transform: sitk.Transform | None = None) -> np.ndarray:
    grid = to_sitk(REFERENCE[0].as_tensor(), REFERENCE.affine)
    image = to_sitk(scan[0].as_tensor(), scan.affine)
    found = from_sitk(
        sitk.Resample(image, grid, transform or sitk.Transform(3, sitk.sitkIdentity), sitk.sitkLinear, NAN)
    )
    return np.where(found.numpy() == NAN, np.nan, found.numpy())


def test_the_maximum_is_that_of_the_scans_where_they_lie(tmp_path: Path) -> None:
    maximum = MaximumVolume(REFERENCE)
    for scan in scans():
        maximum.add(scan)
    maximum.write(tmp_path / "mip.nii.gz")
    expected = np.fmax(*[resampled(scan) for scan in scans()])
    found = nib.load(tmp_path / "mip.nii.gz")
    np.testing.assert_allclose(found.affine, REFERENCE.affine, atol=1e-4)
    np.testing.assert_allclose(found.get_fdata(), np.where(np.isnan(expected), -1000, expected), atol=1.0)
    assert np.isnan(expected).any()


@pytest.mark.parametrize("angles_deg", [(0.0, 0.0, 0.0), (3.0, -4.0, 8.0)])
def test_the_mean_is_that_of_the_scans_that_hold_a_voxel(
    tmp_path: Path, angles_deg: tuple[float, float, float]
) -> None:
    truth = rotation(*angles_deg)
    truth[:3, 3] = torch.tensor([6.0, -3.0, 4.0])
    grid = make_affine((6, 6, 6), (15.0, 15.0, 15.0))
    moved = WorldTransform(torch.zeros(1, 3, 6, 6, 6), grid, truth @ grid)
    mean = MeanVolume(REFERENCE)
    first, second = scans()
    mean.add(first, no_motion())
    mean.add(second, moved)
    mean.write(tmp_path / "mean.nii.gz")
    both = np.stack([resampled(first), resampled(second, affine_to_sitk(truth))])
    count = np.isfinite(both).sum(axis=0)
    assert {0, 1, 2} == set(count.ravel())
    expected = np.where(count > 0, np.nansum(both, axis=0) / np.maximum(count, 1), -1000)
    np.testing.assert_allclose(nib.load(tmp_path / "mean.nii.gz").get_fdata(), expected, atol=1.0)


def test_means_of_many_scans_are_exact(tmp_path: Path) -> None:
    reference = MetaTensor(torch.zeros(1, 3, 4, 2), affine=torch.eye(4))
    mean = MeanVolume(reference)
    for number in range(300):
        mean.add(reference + number, no_motion())
    mean.write(tmp_path / "mean.nii.gz")
    values = np.asarray(nib.load(tmp_path / "mean.nii.gz").dataobj)
    np.testing.assert_array_equal(values, np.full((3, 4, 2), 150))  # 149.5, rounded to even
