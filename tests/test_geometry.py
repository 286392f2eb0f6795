from __future__ import annotations

import numpy as np
import pytest
import SimpleITK as sitk
import torch
from monai.networks.blocks import Warp
from scipy import ndimage
from torch import Tensor

from bundle import geometry
from bundle.geometry import (
    WorldTransform,
    apply_affine,
    identity_vox,
    invert_ddf,
    jacobian_determinant,
    resize_ddf,
    sample_points,
    sample_rows,
    sample_vox,
    slabs,
    spacing_mm,
    swap_ras_lps,
    swap_ras_lps_affine,
    upsample_ddf,
    warp,
)
from tests.grids import (
    FIXED_SHAPE,
    LPS,
    NETWORK_SHAPE,
    Case,
    from_sitk,
    make_affine,
    make_case,
    rotation,
    to_sitk,
    voxel_centres_mm,
    waves_vox,
)


@pytest.fixture(params=[(1, 1, 1), (-1, 1, 1), (-1, -1, 1)], ids=["as is", "x flipped", "x and y flipped"])
def case(request: pytest.FixtureRequest) -> Case:
    return make_case(request.param)


def to_ras(field: sitk.Image) -> np.ndarray:
    return np.einsum("ab,dwhb->ahwd", LPS, sitk.GetArrayFromImage(field))


# Points and grids through the whole transform


def test_points_move_as_simpleitk_moves_them() -> None:
    case = make_case()
    points_vox = torch.rand(200, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    points = apply_affine(case.transform.grid_to_fixed, points_vox * (torch.tensor(NETWORK_SHAPE) - 1))
    expected = [case.reference.TransformPoint(point) for point in swap_ras_lps(points).tolist()]
    moved = case.transform.transform_points_mm(points)
    assert moved.dtype == torch.float64
    torch.testing.assert_close(swap_ras_lps(moved), torch.tensor(expected, dtype=torch.float64), atol=1e-4, rtol=0)
    assert (moved - points).norm(dim=1).min() > 1000  # the initial affine is in it


def test_points_beyond_the_network_grid_move_as_its_border_does() -> None:
    transform = make_case().transform
    beyond_vox = torch.tensor([[-4.0, 3.2, 5.0], [20.0, 17.0, -3.0]], dtype=torch.float64)
    border_vox = torch.tensor([[0.0, 3.2, 5.0], [11.0, 14.0, 0.0]], dtype=torch.float64)
    beyond, border = (apply_affine(transform.grid_to_fixed, points) for points in (beyond_vox, border_vox))
    shift_mm = (beyond_vox - border_vox) @ transform.grid_to_moving[:3, :3].T
    moved = transform.transform_points_mm(beyond)
    torch.testing.assert_close(moved, transform.transform_points_mm(border) + shift_mm, atol=1e-4, rtol=0)


def test_displacement_on_a_native_grid_is_simpleitks(case: Case) -> None:
    displacement_mm = case.transform.displacement_mm(FIXED_SHAPE, case.fixed_affine)
    to_field = sitk.TransformToDisplacementFieldFilter()
    to_field.SetReferenceImage(to_sitk(torch.zeros(FIXED_SHAPE), case.fixed_affine))
    expected = torch.from_numpy(to_ras(to_field.Execute(case.reference)))
    # float32 world coordinates near 1400 mm are apart by 1.2e-4 mm
    torch.testing.assert_close(displacement_mm.double(), expected, atol=1e-3, rtol=0)


def test_displacement_agrees_with_the_transformed_points(case: Case) -> None:
    points = voxel_centres_mm(FIXED_SHAPE, case.fixed_affine)
    displacement_mm = case.transform.displacement_mm(FIXED_SHAPE, case.fixed_affine)
    expected = (case.transform.transform_points_mm(points) - points).T.reshape(3, *FIXED_SHAPE)
    torch.testing.assert_close(displacement_mm.double(), expected, atol=1e-3, rtol=0)


def test_affine_only_is_the_initial_alignment() -> None:
    case = make_case()
    points = voxel_centres_mm(FIXED_SHAPE, case.fixed_affine)
    initial = case.transform.grid_to_moving @ torch.linalg.inv(case.transform.grid_to_fixed)
    moved = case.transform.affine_only.transform_points_mm(points)
    torch.testing.assert_close(moved, apply_affine(initial, points), atol=1e-9, rtol=0)


def test_a_grid_is_mapped_to_where_its_points_go(case: Case) -> None:
    moved = case.transform.transform_points_mm(voxel_centres_mm(FIXED_SHAPE, case.fixed_affine))
    expected = apply_affine(torch.linalg.inv(case.moving_affine), moved).T.reshape(3, *FIXED_SHAPE)
    points_vox = case.transform.map_grid(FIXED_SHAPE, case.fixed_affine, case.moving_affine)
    torch.testing.assert_close(points_vox.double(), expected, atol=1e-3, rtol=0)


def test_slabs_change_nothing(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    def results() -> list[Tensor]:
        points_vox = case.transform.map_grid(FIXED_SHAPE, case.fixed_affine, case.moving_affine)
        displacement_mm = case.transform.displacement_mm(FIXED_SHAPE, case.fixed_affine)
        jacobian = jacobian_determinant(waves_vox(FIXED_SHAPE, amplitude_vox=4.0)[0], case.fixed_affine)
        return [points_vox, displacement_mm, jacobian]

    whole = results()
    for slab_voxels in (1, 2 * 72, 3 * 72):  # one, two or three rows of 8 x 9 voxels; the last slab is shorter
        monkeypatch.setattr(geometry, "SLAB_VOXELS", slab_voxels)
        for slabbed, expected in zip(results(), whole, strict=True):
            torch.testing.assert_close(slabbed, expected, atol=2e-4, rtol=0)


def test_slabs_hold_every_row_once_and_no_more_voxels_than_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(geometry, "SLAB_VOXELS", 130)
    assert list(slabs((7, 10, 5))) == [(0, 2), (2, 4), (4, 6), (6, 7)]
    assert list(slabs((2, 20, 15))) == [(0, 1), (1, 2)]  # a slab has one row at least


# Reading volumes


def test_sample_vox_reads_as_scipy_does() -> None:
    generator = torch.Generator().manual_seed(0)
    volume = torch.rand(2, 3, 6, 7, 8, generator=generator)
    points = torch.rand(2, 3, 4, 5, 6, generator=generator) * 12 - 2  # also beyond every border
    sampled = sample_vox(volume, points)
    for batch in range(2):
        for channel in range(3):
            expected = ndimage.map_coordinates(
                volume[batch, channel].double().numpy(), points[batch].double().numpy(), order=1, mode="nearest"
            )
            np.testing.assert_allclose(sampled[batch, channel].numpy(), expected, atol=2e-6)


def test_sample_vox_takes_volumes_one_voxel_thick() -> None:
    volume = torch.arange(5.0).view(1, 1, 1, 5, 1)
    points = torch.tensor([0.0, 2.5, 0.0]).view(1, 3, 1, 1, 1)
    torch.testing.assert_close(sample_vox(volume, points), torch.full((1, 1, 1, 1, 1), 2.5))


def test_rows_are_read_as_the_whole_volume_is() -> None:
    generator = torch.Generator().manual_seed(0)
    volume = torch.rand(2, 6, 7, 8, generator=generator)
    points = torch.rand(3, 5, 4, 9, generator=generator) * 12 - 2  # also beyond every border
    torch.testing.assert_close(sample_rows(volume, points), sample_vox(volume[None], points[None])[0], rtol=0, atol=0)


@pytest.mark.parametrize("count", [1, 16, 53])
def test_a_list_of_points_is_read_as_the_whole_volume_is(count: int) -> None:
    generator = torch.Generator().manual_seed(0)
    volume = torch.rand(2, 6, 7, 8, generator=generator)
    points = torch.rand(3, count, generator=generator) * 12 - 2
    expected = sample_vox(volume[None], points[None, :, :, None, None])[0, :, :, 0, 0]
    torch.testing.assert_close(sample_points(volume, points), expected, rtol=0, atol=0)


def test_warp_is_monais() -> None:
    volume = torch.rand(2, 4, 8, 9, 10, generator=torch.Generator().manual_seed(0))
    ddf_vox = torch.cat([waves_vox((8, 9, 10), amplitude_vox=3.0), waves_vox((8, 9, 10), amplitude_vox=1.0)])
    expected = Warp(mode="bilinear", padding_mode="border")(volume, ddf_vox)
    torch.testing.assert_close(warp(volume, ddf_vox), expected, atol=5e-6, rtol=0)
    torch.testing.assert_close(torch.jit.script(warp)(volume, ddf_vox), expected, atol=5e-6, rtol=0)


def test_half_precision_volumes_are_read_at_full_precision_coordinates() -> None:
    ramp = torch.arange(250.0).view(1, 1, 250, 1, 1).expand(1, 1, 250, 2, 3)
    ddf_vox = torch.zeros(1, 3, 250, 2, 3)
    ddf_vox[:, 0, :-1] = 0.25
    torch.testing.assert_close(warp(ramp, ddf_vox)[0, 0, :-1], ramp[0, 0, :-1] + 0.25, atol=1e-3, rtol=0)


# From level to level


@pytest.mark.parametrize("factor", [2, 4])
def test_a_constant_field_survives_upsampling_everywhere(factor: int) -> None:
    ddf_vox = torch.tensor([1.0, -2.0, 0.25]).view(1, 3, 1, 1, 1).expand(1, 3, 3, 4, 5)
    fine = upsample_ddf(ddf_vox, factor)
    assert fine.shape == (1, 3, 3 * factor, 4 * factor, 5 * factor)
    torch.testing.assert_close(fine, (ddf_vox[:, :, :1, :1, :1] * factor).expand_as(fine))


@pytest.mark.parametrize("factor", [2, 4])
def test_a_linear_field_survives_upsampling_between_the_coarse_centres(factor: int) -> None:
    shape = (3, 4, 5)
    matrix = torch.tensor([[0.1, -0.2, 0.3], [0.0, 0.4, 0.1], [-0.3, 0.2, 0.05]])
    coarse = torch.einsum("ab,nbhwd->nahwd", matrix, identity_vox(list(shape), matrix))
    # the same motion in finer voxels: positions and vectors both grow by the factor
    fine = torch.einsum("ab,nbhwd->nahwd", matrix, identity_vox([side * factor for side in shape], matrix))
    inside = (0, slice(None), *[slice(0, (side - 1) * factor + 1) for side in shape])
    torch.testing.assert_close(upsample_ddf(coarse, factor)[inside], fine[inside])


@pytest.mark.parametrize("new_shape", [(9, 7, 10), (11, 14, 8), (5, 4, 3)])
def test_a_constant_field_survives_resizing_everywhere(new_shape: tuple[int, int, int]) -> None:
    shape = (6, 9, 7)
    displacement_mm = torch.tensor([7.0, -4.0, 11.0], dtype=torch.float64)
    old_affine, new_affine = grids_of_one_box(shape, new_shape)
    ddf_vox = torch.linalg.solve(old_affine[:3, :3], displacement_mm).view(1, 3, 1, 1, 1).expand(1, 3, *shape)
    resized_mm = torch.einsum("ab,nbhwd->nahwd", new_affine[:3, :3], resize_ddf(ddf_vox, list(new_shape)))
    torch.testing.assert_close(resized_mm, displacement_mm.view(1, 3, 1, 1, 1).expand(1, 3, *new_shape))


@pytest.mark.parametrize("new_shape", [(9, 7, 10), (11, 14, 8), (5, 4, 3)])
def test_a_linear_displacement_survives_resizing_between_the_old_centres(new_shape: tuple[int, int, int]) -> None:
    shape = (6, 9, 7)
    matrix = torch.tensor([[0.1, -0.2, 0.3], [0.0, 0.4, 0.1], [-0.3, 0.2, 0.05]], dtype=torch.float64)
    old_affine, new_affine = grids_of_one_box(shape, new_shape)
    displacement_mm = voxel_centres_mm(shape, old_affine) @ matrix.T
    ddf_vox = torch.linalg.solve(old_affine[:3, :3], displacement_mm.T).reshape(1, 3, *shape)
    resized_vox = resize_ddf(ddf_vox, list(new_shape))[0].flatten(1)
    new_mm = voxel_centres_mm(new_shape, new_affine)
    old_vox = apply_affine(torch.linalg.inv(old_affine), new_mm)
    inside = ((old_vox >= 0) & (old_vox <= torch.tensor(shape) - 1)).all(dim=1)
    assert inside.sum() > 20
    resized_mm = (new_affine[:3, :3] @ resized_vox).T
    torch.testing.assert_close(resized_mm[inside], (new_mm @ matrix.T)[inside])


def grids_of_one_box(old: tuple[int, int, int], new: tuple[int, int, int]) -> tuple[Tensor, Tensor]:
    """Affines (4, 4) of two oblique grids of different shape whose outer faces coincide."""
    size_mm, place = (30.0, 27.0, 49.0), {"angles_deg": (20.0, -35.0, 50.0), "centre_mm": (5.0, 60.0, -900.0)}
    old_affine, new_affine = (
        make_affine(shape, tuple(size / count for size, count in zip(size_mm, shape, strict=True)), **place)
        for shape in (old, new)
    )
    return old_affine, new_affine


# Inverses


def compressing_ddf_vox(gradient: float, shape: tuple[int, int, int] = (16, 18, 24)) -> Tensor:
    """Motion along the last axis that is zero at both ends and changes by up to `gradient` a voxel."""
    length = shape[2] - 1
    z = torch.arange(shape[2], dtype=torch.float64) / length
    profile = gradient * length / (2 * torch.pi) * (1 - torch.cos(2 * torch.pi * z))
    ddf_vox = torch.zeros(1, 3, *shape)
    ddf_vox[:, 2] = profile.float()
    return ddf_vox


@pytest.mark.parametrize("gradient", [-0.5, 0.5])
def test_forward_and_inverse_are_the_identity_also_where_lungs_collapse(gradient: float) -> None:
    ddf_vox = compressing_ddf_vox(gradient)  # the slope is of both signs, whatever the sign of `gradient`
    ddf_vox[:, :2] = waves_vox((16, 18, 24), amplitude_vox=0.6)[:, :2]
    network_affine = make_affine((16, 18, 24), (2.0, 3.0, 2.5), angles_deg=(20, 10, -30))
    initial = rotation(3, -2, 5)
    initial[:3, 3] = torch.tensor([30.0, -4.0, 9.0])
    transform = WorldTransform(ddf_vox, network_affine, initial @ network_affine)
    points_vox = torch.rand(3000, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    points_vox = 2 + points_vox * torch.tensor([11.0, 13.0, 19.0])
    points = apply_affine(network_affine, points_vox)
    back = transform.inverse().transform_points_mm(transform.transform_points_mm(points))
    error_vox = (apply_affine(torch.linalg.inv(network_affine), back) - points_vox).norm(dim=1)
    assert torch.quantile(error_vox, 0.95) < 0.1
    there = transform.transform_points_mm(transform.inverse().transform_points_mm(apply_affine(initial, points)))
    error_vox = (apply_affine(torch.linalg.inv(initial @ network_affine), there) - points_vox).norm(dim=1)
    assert torch.quantile(error_vox, 0.95) < 0.1


@pytest.mark.parametrize("gradient", [-0.9, -0.8, 0.8, 1.5])
def test_the_inverse_is_exact_at_its_voxels_up_to_extreme_gradients(gradient: float) -> None:
    ddf_vox = compressing_ddf_vox(gradient)
    inverse = invert_ddf(ddf_vox)
    landing = identity_vox(list(ddf_vox.shape[2:]), ddf_vox) + inverse
    torch.testing.assert_close(sample_vox(ddf_vox, landing), -inverse, atol=5e-3, rtol=0)


@pytest.mark.parametrize("gradient", [-0.6, -0.3, 0.4, 0.9])
def test_a_linear_field_has_its_closed_form_inverse(gradient: float) -> None:
    shape, centre = (7, 8, 40), 20.0
    z = torch.arange(40.0)
    ddf_vox = torch.zeros(1, 3, *shape)
    ddf_vox[:, 2] = gradient * (z - centre)
    inverse = invert_ddf(ddf_vox)
    expected = (z - centre) * (1 / (1 + gradient) - 1)
    reached = (z + expected >= 0) & (z + expected <= 39)  # elsewhere the border value answers
    torch.testing.assert_close(inverse[0, 2, 3, 4, reached], expected[reached], atol=5e-3, rtol=0)
    torch.testing.assert_close(inverse[:, :2], torch.zeros(1, 2, *shape))


def test_a_constant_field_has_its_negative_as_inverse() -> None:
    ddf_vox = torch.tensor([2.0, -1.5, 0.25]).view(1, 3, 1, 1, 1).expand(1, 3, 6, 7, 8)
    torch.testing.assert_close(invert_ddf(ddf_vox), -ddf_vox)


# Jacobian determinants


def test_the_jacobian_of_a_linear_field_is_its_determinant() -> None:
    shape = (6, 7, 8)
    affine = make_affine(shape, (0.7, 1.3, 2.5), angles_deg=(20, -35, 50), flip=(-1, 1, 1), centre_mm=(5, 60, -900))
    matrix = torch.tensor([[1.2, 0.1, -0.2], [0.05, 0.7, 0.3], [0.1, -0.15, 1.1]], dtype=torch.float64)
    points = voxel_centres_mm(shape, affine)
    displacement_mm = (points @ (matrix - torch.eye(3)).T).T.reshape(3, *shape)
    jacobian = jacobian_determinant(displacement_mm, affine)
    torch.testing.assert_close(jacobian, torch.linalg.det(matrix).expand(shape), atol=1e-9, rtol=0)
    single = jacobian_determinant(displacement_mm.float(), affine)  # far from the origin; as written to files
    torch.testing.assert_close(single.double(), jacobian, atol=1e-3, rtol=0)


@pytest.mark.parametrize("flip", [(1, 1, 1), (-1, 1, 1), (1, -1, -1)])
def test_the_jacobian_on_an_oblique_grid_is_itks(flip: tuple[int, int, int]) -> None:
    shape = (11, 12, 13)
    affine = make_affine(shape, (1.5, 2.0, 3.0), angles_deg=(25, -40, 15), flip=flip)
    displacement_mm = 4 * waves_vox(shape, amplitude_vox=1.0)[0].double()
    # ITK's filter takes derivatives along the grid's axes and leaves the components in the world's, which is right on
    # grids without rotation only; in the axes of the grid the same field has the same determinant.
    axes = LPS @ (affine[:3, :3] / spacing_mm(affine)).numpy()
    field = to_sitk(displacement_mm, affine)
    local = sitk.GetImageFromArray(sitk.GetArrayFromImage(field) @ axes, isVector=True)
    local.SetSpacing(field.GetSpacing())
    expected = from_sitk(sitk.DisplacementFieldJacobianDeterminant(local))
    jacobian = jacobian_determinant(displacement_mm, affine)
    inside = (slice(1, -1),) * 3  # one-sided differences here, no difference there, at the border
    torch.testing.assert_close(jacobian[inside], expected[inside], atol=1e-6, rtol=0)
    assert jacobian[inside].min() < 0 < 1.5 < jacobian[inside].max()


def test_the_jacobian_of_a_composed_transform_is_the_product() -> None:
    case = make_case()
    ddf_vox = torch.zeros_like(case.transform.ddf_vox)
    ddf_vox[:, 0] = 0.25 * torch.arange(12.0).view(12, 1, 1)
    transform = WorldTransform(ddf_vox, case.transform.grid_to_fixed, case.transform.grid_to_moving)
    jacobian = jacobian_determinant(transform.displacement_mm(FIXED_SHAPE, case.fixed_affine), case.fixed_affine)
    torch.testing.assert_close(jacobian, torch.full(FIXED_SHAPE, 1.25 * 1.08 * 0.95 * 1.03), atol=2e-3, rtol=0)


# Worlds


def test_ras_and_lps_differ_by_the_signs_of_x_and_y() -> None:
    points = torch.tensor([[1.0, 2.0, 3.0], [-4.0, 5.0, -6.0]])
    torch.testing.assert_close(swap_ras_lps(points), torch.tensor([[-1.0, -2.0, 3.0], [4.0, -5.0, -6.0]]))


def test_an_affine_does_in_lps_what_it_does_in_ras() -> None:
    affine = rotation(10, 20, 30) @ make_affine((3, 4, 5), (1.0, 2.0, 3.0), centre_mm=(9, 8, 7))
    points = torch.tensor([[1.0, 2.0, 3.0], [-4.0, 5.0, -6.0]], dtype=torch.float64)
    moved = swap_ras_lps(apply_affine(affine, points))
    torch.testing.assert_close(apply_affine(swap_ras_lps_affine(affine), swap_ras_lps(points)), moved)
    torch.testing.assert_close(swap_ras_lps_affine(swap_ras_lps_affine(affine)), affine)


def test_spacing_is_the_length_of_the_voxel_axes() -> None:
    affine = make_affine((4, 5, 6), (0.6, 1.2, 2.5), angles_deg=(30, 40, 50), flip=(1, -1, 1))
    torch.testing.assert_close(spacing_mm(affine), torch.tensor([0.6, 1.2, 2.5], dtype=torch.float64))


@pytest.mark.parametrize("scale", [0.6, 1.0, 1.5])
def test_the_inverse_of_a_scaling_on_a_large_grid_is_its_reciprocal(scale: float) -> None:
    shape = [40, 36, 44]  # so large that the inverse of a coarser field is the start
    from_centre = identity_vox(shape, torch.empty(0)) - (torch.tensor(shape).view(1, 3, 1, 1, 1) - 1) / 2
    inner = (slice(None), slice(None), *[slice(side // 4, -(side // 4)) for side in shape])
    inverse = invert_ddf((scale - 1) * from_centre)
    torch.testing.assert_close(inverse[inner], (1 / scale - 1) * from_centre[inner], atol=5e-3, rtol=0)
