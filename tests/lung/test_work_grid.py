from __future__ import annotations

import pytest
import torch
from monai.data import MetaTensor

from bundle.lung.work_grid import work_grid
from tests.chest import Chest, render


def test_empty_slices_are_cut_off_and_the_affine_follows() -> None:
    scan = render(Chest())
    hu = scan.as_tensor().clone()
    hu[..., :3], hu[..., -2:], hu[:, :4] = -1024.0, -1024.0, -1024.0
    grid = work_grid(MetaTensor(hu, affine=scan.affine))
    assert grid is not None
    assert grid.box == (slice(4, 48), slice(0, 44), slice(3, 40))
    offset = torch.linalg.inv(scan.affine) @ grid.affine
    torch.testing.assert_close(offset[:3, 3], torch.tensor([4.0, 0.0, 3.0], dtype=torch.float64))


def test_an_empty_slice_inside_repeats_its_neighbour() -> None:
    scan = render(Chest())
    hu = scan.as_tensor().clone()
    hu[..., 20] = -1024.0
    grid = work_grid(MetaTensor(hu, affine=scan.affine))
    assert grid is not None
    assert grid.empty.nonzero()[0].tolist() == [20]
    torch.testing.assert_close(grid.scan[:, :, 20], grid.scan[:, :, 19])


@pytest.mark.parametrize("value", [-2000.0, -3024.0, -1024.0])
def test_padding_is_known_and_not_mixed_with_tissue(value: float) -> None:
    scan = render(Chest(), (96, 88, 42), scale_in_plane(render(Chest()).affine))
    hu = scan.as_tensor().clone()
    hu[:, :21, :21] = hu[:, :21, -21:] = hu[:, -21:, :21] = hu[:, -21:, -21:] = value
    grid = work_grid(MetaTensor(hu, affine=scan.affine))
    assert grid is not None
    assert grid.padding[2, 2].all()
    assert not grid.padding[grid.hu.shape[0] // 2].any()
    assert grid.hu[~grid.padding].min() > -1100


def scale_in_plane(affine: torch.Tensor) -> torch.Tensor:
    """Half the voxel size in plane."""
    fine = affine.clone()
    fine[:3, :2] /= 2
    return fine


def test_the_scale_is_that_of_the_body() -> None:
    scan = render(Chest())
    for factor in (1.0, 0.1):
        affine = scan.affine.clone()
        affine[:3] *= factor
        grid = work_grid(MetaTensor(scan.as_tensor(), affine=affine))
        assert grid is not None
        assert grid.scale == pytest.approx(0.72 * factor, rel=0.03)  # 48 voxels of 4.5 mm, of 300 mm


def test_a_scan_of_one_value_is_empty() -> None:
    assert work_grid(MetaTensor(torch.zeros(1, 8, 9, 10), affine=torch.eye(4))) is None
