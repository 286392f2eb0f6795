from __future__ import annotations

import numpy as np
import pytest
import torch
from monai.data import MetaTensor

from bundle.geometry import WorldTransform, apply_affine
from bundle.series.amplitude import peak_to_peak
from bundle.series.fields import identity_like
from bundle.series.labels import face_centres, label_motions
from tests.grids import make_affine, rotation

SHAPE = (20, 16, 12)
LABELS = make_affine(SHAPE, (2.0, 1.5, 4.0), angles_deg=(20, -10, 35), flip=(-1, 1, 1), centre_mm=(30.0, -50.0, 200.0))
GRID = make_affine((10, 10, 10), (12.0, 12.0, 12.0), angles_deg=(3, 4, 5), centre_mm=(30.0, -50.0, 200.0))


def label_map() -> MetaTensor:
    voxels = torch.zeros(1, *SHAPE, dtype=torch.int16)
    voxels[0, 3:9, 4:7, 2:8] = 7
    voxels[0, 12:20, 10:16, 0:5] = 300  # touches the border of the map
    return MetaTensor(voxels, affine=LABELS)


def stretched() -> torch.Tensor:
    affine = rotation(4, -3, 8)
    affine[:3, :3] *= torch.tensor([1.1, 0.95, 1.2])
    affine[:3, 3] = torch.tensor([5.0, -2.0, 11.0])
    return affine


def test_a_linear_motion_moves_centroid_volume_and_surface_exactly() -> None:
    truth = stretched()
    moved = WorldTransform(torch.zeros(1, 3, 10, 10, 10), GRID, truth @ GRID)
    motions = label_motions({"rest": identity_like(moved), "moved": moved}, label_map(), {7: "tumour"})
    assert [motion.centroid.name for motion in motions] == ["tumour", "300"]
    for motion, value in zip(motions, (7, 300), strict=True):
        points = apply_affine(LABELS, (label_map()[0].as_tensor() == value).nonzero().double())
        centre = points.mean(dim=0, keepdim=True)
        expected = torch.cat([centre, apply_affine(truth, centre)])
        torch.testing.assert_close(motion.centroid.positions_mm, expected, atol=1e-3, rtol=0)
        volume_ml = len(points) * 12e-3
        np.testing.assert_allclose(
            motion.volumes_ml, [volume_ml, volume_ml * float(torch.linalg.det(truth))], rtol=1e-4
        )
        faces = torch.from_numpy(face_centres((label_map()[0].as_tensor() == value).numpy()))
        surface = apply_affine(LABELS, faces)
        shifts = apply_affine(truth, surface) - surface
        np.testing.assert_allclose(np.sort(motion.surface_mm[1]), np.sort(shifts.norm(dim=1)), atol=1e-3)
        assert motion.surface_mm[0].max() < 1e-4
        amplitude = peak_to_peak(torch.stack([torch.zeros_like(shifts.T), shifts.T]))
        expected_p95 = torch.quantile(amplitude, 0.95, dim=1)
        torch.testing.assert_close(motion.surface_p95_mm, expected_p95, atol=1e-3, rtol=0)


def test_the_centroid_is_that_of_the_deformed_region_not_of_its_tissue() -> None:
    """x -> x + x²/80 over [0, 20]: dense on one side; the centroid of the image [0, 25] is at 12.5."""
    positions = torch.arange(64, dtype=torch.float32) - 8
    ddf = torch.zeros(1, 3, 64, 8, 8)
    ddf[0, 0] = (positions**2 / 80)[:, None, None] - 0.0
    grid = torch.eye(4, dtype=torch.float64)
    grid[0, 3] = -8.0
    voxels = torch.zeros(1, 40, 8, 8, dtype=torch.uint8)
    voxels[0, :20] = 1
    affine = torch.eye(4, dtype=torch.float64)
    affine[0, 3] = 0.5
    (motion,) = label_motions({"moved": WorldTransform(ddf, grid, grid)}, MetaTensor(voxels, affine=affine))
    assert float(motion.centroid.positions_mm[0, 0]) == pytest.approx(12.5, abs=0.02)
    assert float(motion.volumes_ml[0]) == pytest.approx(25 * 64 / 1000, rel=1e-3)


def test_faces_lie_between_inside_and_outside() -> None:
    inside = np.zeros((4, 5, 3), bool)
    inside[1:3, 2, 0] = True  # two voxels in a row: ten faces
    centres = face_centres(inside)
    assert len(centres) == 10
    np.testing.assert_allclose(centres.mean(axis=0), [1.5, 2.0, 0.0])
    assert {(0.5, 2.0, 0.0), (2.5, 2.0, 0.0), (1.0, 2.0, -0.5)} <= set(map(tuple, centres.tolist()))
