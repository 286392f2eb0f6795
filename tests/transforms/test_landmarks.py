from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from monai.data import MetaTensor

from bundle.geometry import apply_affine
from bundle.transforms import MapLandmarksd, ReadInitialTransformd, ReadLandmarksd
from tests.grids import make_affine

SHAPE = (8, 9, 10)


def make_pair(tmp_path: Path) -> dict[str, object]:
    """Landmarks of the fixed scan in LPS mm, of the moving scan as voxels of its own grid."""
    (tmp_path / "fixed.csv").write_text("x,y,z\n-1.5,2,3\n4,-5,6.25\n")
    (tmp_path / "moving_dirlab.txt").write_text("1 1 1\n8 9 10\n")
    affine = make_affine(SHAPE, (2.0, 3.0, 4.0), angles_deg=(10, 20, 30))
    return {
        "fixed": MetaTensor(torch.zeros(1, *SHAPE), affine=make_affine(SHAPE, (3.0, 3.0, 3.0))),
        "moving": MetaTensor(torch.zeros(1, *SHAPE), affine=affine),
        "fixed_landmarks": str(tmp_path / "fixed.csv"),
        "moving_landmarks": str(tmp_path / "moving_dirlab.txt"),
    }


def test_landmarks_become_points_of_their_own_scan(tmp_path: Path) -> None:
    given = make_pair(tmp_path)
    pair = ReadLandmarksd()(given)
    expected = torch.tensor([[1.5, -2.0, 3.0], [-4.0, 5.0, 6.25]], dtype=torch.float64)
    torch.testing.assert_close(pair["fixed_landmarks"], expected)
    corners = torch.tensor([[0, 0, 0, 1], [7, 8, 9, 1]], dtype=torch.float64) @ given["moving"].affine.T
    torch.testing.assert_close(pair["moving_landmarks"], corners[:, :3])
    assert isinstance(given["fixed_landmarks"], str)  # the given pair is left alone


def test_pairs_without_landmarks_or_transform_pass(tmp_path: Path) -> None:
    pair = make_pair(tmp_path)
    del pair["fixed_landmarks"], pair["moving_landmarks"]
    assert ReadInitialTransformd()(ReadLandmarksd()(pair)) == pair


def test_landmarks_of_one_scan_alone_are_read(tmp_path: Path) -> None:
    pair = make_pair(tmp_path)
    del pair["moving_landmarks"]
    assert ReadLandmarksd(("fixed", "moving"))(pair)["fixed_landmarks"].shape == (2, 3)


def test_landmarks_outside_their_scan_are_an_error(tmp_path: Path) -> None:
    pair = make_pair(tmp_path)
    (tmp_path / "moving_dirlab.txt").write_text("1 1 11\n")
    with pytest.raises(ValueError, match=r"moving_dirlab\.txt: expected DIR-Lab's voxels, found .* lps and ras"):
        ReadLandmarksd()(pair)


def test_the_landmark_system_and_the_names_of_a_pair_are_used(tmp_path: Path) -> None:
    pair = make_pair(tmp_path)
    (tmp_path / "fixed.csv").write_text("label,r,a,s\ncarina,1.5,-2,3\n")
    (tmp_path / "moving_dirlab.txt").rename(tmp_path / "moving.txt")
    read = ReadLandmarksd()(pair | {"moving_landmarks": str(tmp_path / "moving.txt"), "landmark_system": "dirlab"})
    assert read["landmark_names"] == '[["carina", ""]]'
    assert read["moving_landmarks"].shape == (2, 3)


def test_landmarks_follow_the_ddf_and_the_affines(pair: dict[str, Any]) -> None:
    at_voxel = torch.tensor([[3, 4, 5], [9, 14, 11]])
    pair["fixed_landmarks"] = apply_affine(pair["grid_to_fixed"], at_voxel.double())
    result = MapLandmarksd()(pair)
    ddf = torch.stack([torch.as_tensor(pair["pred"])[(slice(None), *index)] for index in at_voxel.tolist()])
    expected = apply_affine(pair["grid_to_moving"], at_voxel.double() + ddf.double())
    torch.testing.assert_close(result["mapped_landmarks"], expected, atol=1e-4, rtol=0)
    aligned = apply_affine(pair["grid_to_moving"], at_voxel.double())
    torch.testing.assert_close(result["aligned_landmarks"], aligned, atol=1e-9, rtol=0)
    assert result["mapped_landmarks"].dtype == torch.float64


def test_a_pair_without_landmarks_passes(pair: dict[str, Any]) -> None:
    del pair["fixed_landmarks"]
    assert MapLandmarksd()(pair).keys() == pair.keys()
