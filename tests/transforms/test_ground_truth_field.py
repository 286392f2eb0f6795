from __future__ import annotations

from pathlib import Path

import pytest
import torch
from monai.data import MetaTensor

from bundle.geometry import WorldTransform, apply_affine
from bundle.io import write_displacement
from bundle.transforms import GroundTruthFieldd
from tests.grids import make_affine

SIDES = (16, 32, 16)
SHAPE = (20, 24, 18)
OBLIQUE_AFFINE = make_affine(SHAPE, (2.0, 1.5, 2.5), angles_deg=(20, -10, 35), centre_mm=(-12.0, 85.0, -340.0))


def make_pair(displacement: Path | None) -> dict[str, object]:
    """A network grid inside the fixed scan of `OBLIQUE_AFFINE`, aligned by a rotation and a translation."""
    grid = OBLIQUE_AFFINE @ torch.tensor(
        [[0.7, 0, 0, 2.0], [0, 0.5, 0, 1.5], [0, 0, 0.8, 1.0], [0, 0, 0, 1]], dtype=torch.float64
    )
    alignment = torch.eye(4, dtype=torch.float64)
    alignment[:3, :3] = torch.linalg.matrix_exp(torch.tensor([[0, -0.1, 0], [0.1, 0, 0.05], [0, -0.05, 0]])).double()
    alignment[:3, 3] = torch.tensor([4.0, -9.0, 30.0])
    pair = {
        "fixed_net": MetaTensor(torch.zeros(1, *SIDES), affine=grid),
        "grid_to_fixed": grid,
        "grid_to_moving": alignment @ grid,
    }
    return pair if displacement is None else pair | {"displacement": str(displacement)}


def test_the_ground_truth_ddf_maps_points_as_the_file_does(tmp_path: Path) -> None:
    """A displacement that is linear in space is read exactly between voxels."""
    linear = torch.tensor([[0.02, -0.05, 0.03], [0.04, 0.01, -0.02], [-0.03, 0.05, 0.06]], dtype=torch.float64)
    shift_mm = torch.tensor([5.0, -12.0, 20.0], dtype=torch.float64)
    vox = torch.cartesian_prod(*(torch.arange(side, dtype=torch.float64) for side in SHAPE))
    displacement_mm = (apply_affine(OBLIQUE_AFFINE, vox) @ linear.T + shift_mm).T.reshape(3, *SHAPE)
    file = tmp_path / "displacement.nii.gz"
    write_displacement(file, displacement_mm, OBLIQUE_AFFINE)

    pair = make_pair(file)
    ground_truth = GroundTruthFieldd()(pair)["ground_truth_net"].as_tensor()
    assert ground_truth.shape == (4, *SIDES)
    assert (ground_truth[3] == 1).all()

    transform = WorldTransform(ground_truth[None, :3], pair["grid_to_fixed"], pair["grid_to_moving"])  # type: ignore[arg-type]
    points_vox = torch.tensor([[1.0, 2.0, 3.0], [9.5, 20.25, 7.0], [14.0, 25.0, 12.5]], dtype=torch.float64)
    points_mm = apply_affine(pair["grid_to_fixed"], points_vox)  # type: ignore[arg-type]
    expected_mm = points_mm + points_mm @ linear.T + shift_mm
    torch.testing.assert_close(transform.transform_points_mm(points_mm), expected_mm, atol=5e-3, rtol=0)


def test_a_pair_without_a_field_gets_zeros() -> None:
    ground_truth = GroundTruthFieldd()(make_pair(None))["ground_truth_net"]
    assert ground_truth.shape == (4, *SIDES)
    assert not ground_truth.any()


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"no_field\.nii\.gz: no such displacement field"):
        GroundTruthFieldd()(make_pair(tmp_path / "no_field.nii.gz"))
