from __future__ import annotations

from pathlib import Path

import pytest
import torch

from bundle.apply import displacement_on
from bundle.data import read_world_transform
from bundle.geometry import WorldTransform, apply_affine
from bundle.io import ImageHeader, read_transform, write_transform
from bundle.series.fields import after, displacement_slabs, identity_like, mean_transform
from tests.grids import FIXED_SHAPE, make_affine, make_case, rotation, waves_vox

SHAPE = (14, 12, 16)
GRID = make_affine(SHAPE, (9.0, 8.0, 7.0), angles_deg=(10, -5, 20))


def member(phase: float, *angles_deg: float) -> WorldTransform:
    """A gentle invertible transform whose affine differs between the members."""
    affine = rotation(*angles_deg)
    affine[:3, 3] = torch.tensor([4.0 * phase, -3.0, 6.0 * phase])
    return WorldTransform(waves_vox(SHAPE, amplitude_vox=0.25, phase=phase), GRID, affine @ GRID)


def test_slabs_hold_the_displacements_of_all_members_as_itk_samples_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bundle.geometry.SLAB_VOXELS", 200)
    case = make_case(flip=(-1, 1, -1))
    header = ImageHeader("fixed", FIXED_SHAPE, case.fixed_affine)
    write_transform(tmp_path / "transform.h5", case.transform, header.corners_mm)
    transforms = {"a": read_world_transform(tmp_path / "transform.h5"), "b": identity_like(case.transform)}
    parts = list(displacement_slabs(transforms, FIXED_SHAPE, case.fixed_affine))
    found = torch.cat([part for _, part in parts], dim=2)
    assert len(parts) > 1
    assert found.shape == (2, 3, *FIXED_SHAPE)
    expected = displacement_on(read_transform(tmp_path / "transform.h5"), header)
    torch.testing.assert_close(found[0], expected, atol=2e-3, rtol=0)
    assert found[1].abs().max() < 1e-4


def test_the_mean_position_is_the_mean_of_all_positions_also_outside_the_grid() -> None:
    members = [member(0.1, 2, 0, 1), member(0.9, -3, 1, 0), member(1.7, 0, 2, -2)]
    members.append(identity_like(members[0]))
    points = apply_affine(GRID, torch.rand(500, 3, dtype=torch.float64) * 40 - 12)  # the grid ends at 14
    expected = torch.stack([one.transform_points_mm(points) for one in members]).mean(dim=0)
    torch.testing.assert_close(mean_transform(members).transform_points_mm(points), expected, atol=1e-3, rtol=0)


def test_a_member_after_the_inverse_mean_starts_at_the_mean_position() -> None:
    members = [member(0.1, 2, 0, 1), member(0.9, -3, 1, 0)]
    mean = mean_transform(members)
    points = apply_affine(GRID, 3 + torch.rand(500, 3, dtype=torch.float64) * 6)
    at_mean = mean.transform_points_mm(points)
    for one in members:
        composed = after(one, mean.inverse())
        distance = (composed.transform_points_mm(at_mean) - one.transform_points_mm(points)).norm(dim=1)
        assert distance.max() < 0.15  # linear interpolation of the inverse between points of 7 to 9 mm
        assert distance.mean() < 0.05


def test_fields_on_different_grids_are_not_averaged() -> None:
    other = WorldTransform(torch.zeros(1, 3, 8, 8, 8), GRID, GRID)
    with pytest.raises(ValueError, match=r"expected fields on one grid, found \(14, 12, 16\) and \(8, 8, 8\) voxels"):
        mean_transform([member(0.1, 0, 0, 0), other])
