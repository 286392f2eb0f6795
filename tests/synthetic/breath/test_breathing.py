from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from bundle.synthetic.breath.breathing import breathe, tubes_of
from bundle.synthetic.breath.patient import at_points
from bundle.synthetic.breath.scan import lung_points_mm
from tests.synthetic.breath.simulated import chest, small_breath

CALM = {"contraction": 0.0, "wall_mm": 0.0, "waves": (), "front_back": 0.0, "curve": 0.0}


def test_no_breath_is_the_identity() -> None:
    _, mask = chest()
    breathing = breathe(mask, small_breath(diaphragm_mm=(0.0, 0.0), **CALM))
    assert float(breathing.tubes.forward_mm.abs().max()) == 0.0
    torch.testing.assert_close(breathing.compression, torch.ones_like(breathing.compression))


@pytest.mark.parametrize("seed", [0, 1])
def test_the_backward_map_undoes_the_forward_map(seed: int) -> None:
    _, mask = chest()
    breathing = breathe(mask, small_breath(seed))
    points = lung_points_mm(mask)[::7] + torch.rand(3, generator=torch.Generator().manual_seed(0))
    for flow in (breathing.tubes, breathing.wall):
        back = at_points(flow.inhale, at_points(flow.exhale, points))
        assert float((back - points).norm(dim=1).max()) < 0.1
        assert float((back - points).norm(dim=1).mean()) < 0.02


def test_the_diaphragm_rises_as_asked_and_the_apex_hardly() -> None:
    _, mask = chest()
    breathing = breathe(mask, replace(small_breath(**CALM), diaphragm_mm=(18.0, 12.0)))
    points = lung_points_mm(mask)
    moved = at_points(breathing.tubes.exhale, points) - points
    high = points[:, 2].max()
    is_right = points[:, 0] > points[:, 0].mean()
    for side, expected_mm in ((is_right, 18.0), (~is_right, 12.0)):
        base = side & (points[:, 2] < points[side, 2].min() + 8)
        assert float(moved[base, 2].median()) == pytest.approx(expected_mm, abs=2.0)
    assert float(moved[points[:, 2] > high - 8].norm(dim=1).max()) < 2.0


def test_lungs_slide_along_a_wall_that_stays() -> None:
    _, mask = chest()
    breathing = breathe(mask, small_breath(wall_mm=0.0, heart_share=0.0))
    assert float(breathing.wall.forward_mm.abs().max()) < 0.01
    tube = torch.nn.functional.max_pool3d(tubes_of(mask.as_tensor()).float(), 3, stride=1, padding=1)[0]
    points = lung_points_mm(mask)
    after = at_points(breathing.tubes.exhale, points) / torch.tensor([4.0, 4.0, 3.5])
    stays = tube[tuple(after.round().long().T)]
    assert float(stays.mean()) > 0.999  # in the tube or in the next voxel


def test_tissue_is_compressed_by_the_inverse_of_the_jacobian() -> None:
    _, mask = chest()
    breathing = breathe(mask, small_breath())
    points = lung_points_mm(mask)[::11]
    step = 2.0
    columns = []
    for axis in range(3):
        shift = torch.eye(3)[axis] * step
        ahead, behind = (at_points(breathing.tubes.exhale, points + sign * shift) for sign in (1, -1))
        columns.append((ahead - behind) / (2 * step))
    jacobian = torch.linalg.det(torch.stack(columns, dim=2))
    there = at_points(breathing.tubes.exhale, points).T[:, :, None, None]
    compression = breathing.compression_at(there)[:, 0, 0]
    assert float((compression * jacobian - 1).abs().mean()) < 0.02
    assert breathing.least_jacobian < float(jacobian.min()) + 0.1


def test_a_tube_is_open_downwards() -> None:
    mask = torch.zeros(1, 1, 5)
    mask[..., 3] = 1
    assert tubes_of(mask).tolist() == [[[1, 1, 1, 1, 0]]]
