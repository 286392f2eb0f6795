from __future__ import annotations

from pathlib import Path

import itk
import numpy as np
import pytest
import SimpleITK as sitk
import torch
from monai.data import MetaTensor
from pydicom import Dataset

from bundle.io import ImageHeader
from bundle.radiotherapy import Dose, add_doses, carry_dose
from tests.grids import from_sitk, make_affine, to_sitk, voxel_centres_mm

SHAPE, CENTRE_MM = (40, 34, 36), (-12.0, 30.0, -900.0)
AFFINE = make_affine(SHAPE, (2.5, 3.0, 2.5), angles_deg=(0, 0, 180), centre_mm=CENTRE_MM)
SHIFT_LPS_MM = (-6.1, 4.3, 7.7)


def blob(
    centre_mm: tuple[float, float, float] = CENTRE_MM,
    sigma_mm: float = 7.0,
    kind: tuple[str, str, str] = ("GY", "PHYSICAL", "PLAN"),
) -> Dose:
    """A dose of 60 Gy that falls off smoothly, far from the border of its grid."""
    squares = ((voxel_centres_mm(SHAPE, AFFINE) - torch.tensor(centre_mm)) ** 2).sum(dim=1)
    data = Dataset()
    data.DoseUnits, data.DoseType, data.DoseSummationType = kind
    values = (60 * torch.exp(-squares / (2 * sigma_mm**2))).view(1, *SHAPE).float()
    return Dose("blob.dcm", MetaTensor(values, affine=AFFINE), data)


def translation(shift_mm: tuple[float, float, float] = SHIFT_LPS_MM) -> itk.Transform:
    transform = itk.TranslationTransform[itk.D, 3].New()
    transform.SetOffset(shift_mm)
    return transform


def integral(values: np.ndarray, grid: ImageHeader) -> float:
    return float(values.sum(dtype=np.float64)) * float(torch.linalg.det(grid.affine[:3, :3]).abs())


@pytest.mark.parametrize("angles_deg", [(0, 0, 180), (15, -12, 150)])
def test_a_translation_conserves_the_integral_and_moves_the_maximum(angles_deg: tuple[float, float, float]) -> None:
    shape = (110, 114, 90)
    centre = tuple(np.subtract(CENTRE_MM, np.multiply(SHIFT_LPS_MM, (-1, -1, 1))).tolist())
    grid = ImageHeader("fixed", shape, make_affine(shape, (1.1, 1.0, 1.3), angles_deg=angles_deg, centre_mm=centre))
    dose = blob(sigma_mm=9.0)
    carried = carry_dose(dose, translation(), grid)
    before = integral(dose.values[0].numpy(), ImageHeader("dose", SHAPE, AFFINE))
    assert integral(carried, grid) == pytest.approx(before, rel=1e-3)
    moment = (voxel_centres_mm(shape, grid.affine) * torch.from_numpy(carried.reshape(-1, 1)).double()).sum(dim=0)
    np.testing.assert_allclose(moment / carried.sum(dtype=np.float64), centre, atol=0.02)


@pytest.mark.parametrize("parts", [1, 2])
def test_voxels_of_the_dose_or_a_fraction_of_them_conserve_any_integral(parts: int) -> None:
    """The trilinear weights of a voxel add up to 1 there, however steep the dose is."""
    dose = blob()
    dose.values[:] = 0.0
    dose.values[:, 8:-8, 8:-8, 8:-8] = torch.rand(dose.values[:, 8:-8, 8:-8, 8:-8].shape, generator=torch.Generator())
    fine = AFFINE.double() @ torch.diag(torch.tensor([1 / parts, 1 / parts, 1 / parts, 1.0], dtype=torch.float64))
    shape = tuple(size * parts for size in SHAPE)
    carried = carry_dose(dose, translation((3.3, -2.1, 4.7)), ImageHeader("fixed", shape, fine))
    before = integral(dose.values[0].numpy(), ImageHeader("dose", SHAPE, AFFINE))
    assert integral(carried, ImageHeader("fixed", shape, fine)) == pytest.approx(before, rel=1e-5)


def test_a_carried_dose_is_simpleitks_trilinear_one_and_0_outside() -> None:
    grid = ImageHeader("fixed", (20, 24, 30), make_affine((20, 24, 30), (5.0, 4.0, 4.5), centre_mm=(20, 60, -930)))
    dose = blob()
    dose.values[:] = torch.rand(1, *SHAPE, generator=torch.Generator().manual_seed(0)) + 1.0
    carried = carry_dose(dose, translation(), grid)
    by_sitk = sitk.TranslationTransform(3, SHIFT_LPS_MM)
    reference = to_sitk(torch.zeros(grid.shape), grid.affine)
    expected = sitk.Resample(to_sitk(dose.values[0].as_tensor(), AFFINE), reference, by_sitk, sitk.sitkLinear, 0.0)
    np.testing.assert_allclose(carried, from_sitk(expected), atol=1e-4)
    assert 0.1 < (carried == 0).mean() < 0.9


def test_the_sum_of_a_moving_dose_is_the_dose_that_stays_with_the_tissue() -> None:
    """Each phase's dose follows the tumour, so in the reference all are equal: their mean is any of them."""
    grid = ImageHeader("fixed", (60, 60, 60), make_affine((60, 60, 60), (1.5, 1.5, 1.5), centre_mm=CENTRE_MM))
    shifts = [(0.0, 0.0, 0.0), (2.5, -3.0, 5.0), (0.0, 3.0, -2.5)]  # by whole voxels of the dose
    doses = [blob(tuple(np.add(CENTRE_MM, np.multiply(shift, (-1, -1, 1))).tolist())) for shift in shifts]
    transforms = [None, *[translation(shift) for shift in shifts[1:]]]
    total = add_doses(doses, transforms, [1 / 3] * 3, grid)
    np.testing.assert_allclose(total, carry_dose(doses[0], None, grid), atol=1e-3)
    weighted = add_doses(doses[:2], transforms[:2], [2.0, 0.5], grid)
    np.testing.assert_allclose(weighted, 2.5 * carry_dose(doses[0], None, grid), atol=2e-3)
    blurred = add_doses(doses, [None] * 3, [1 / 3] * 3, grid)
    assert blurred.max() < 0.95 * total.max()  # without the registration


@pytest.mark.parametrize(
    ("kinds", "message"),
    [
        ([("RELATIVE", "PHYSICAL", "PLAN")] * 2, r"expected a dose in GY, found RELATIVE: it cannot be added"),
        ([("GY", "PHYSICAL", "PLAN"), ("GY", "EFFECTIVE", "PLAN")], r"expected \('GY', 'PHYSICAL', 'PLAN'\) as in"),
        ([("GY", "PHYSICAL", "PLAN"), ("GY", "PHYSICAL", "BEAM")], r"found \('GY', 'PHYSICAL', 'BEAM'\)"),
    ],
)
def test_doses_of_different_kinds_are_not_added(kinds: list[tuple[str, str, str]], message: str) -> None:
    grid = ImageHeader("fixed", SHAPE, AFFINE)
    with pytest.raises(ValueError, match=message):
        add_doses([blob(kind=kind) for kind in kinds], [None, None], [0.5, 0.5], grid)


def test_a_target_of_another_world_is_refused(tmp_path: Path) -> None:
    field = itk.DisplacementFieldTransform[itk.D, 3].New()
    image = itk.Image[itk.Vector[itk.D, 3], 3].New()
    image.SetRegions([5, 5, 5])
    image.SetSpacing([10.0] * 3)
    image.Allocate(True)
    field.SetDisplacementField(image)
    with pytest.raises(ValueError, match=r"result: expected points in or near its displacement field"):
        carry_dose(blob(), field, ImageHeader("fixed", SHAPE, AFFINE), name="result")
