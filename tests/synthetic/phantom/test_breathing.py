from __future__ import annotations

import numpy as np
import pytest

from bundle.synthetic.phantom import PhantomCase, make_phantom
from bundle.synthetic.phantom.anatomy import draw_anatomy
from bundle.synthetic.phantom.breathing import BreathingTransform, draw_breathing
from bundle.synthetic.phantom.trees import grow_structures


def costal_wall(transform: BreathingTransform, side: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Points of the pleura that faces the ribs, side 0 (right) or 1 (left)."""
    lung = transform.motions[side].inhale
    angle, z = (part.ravel() for part in np.meshgrid(np.linspace(-1.2, 1.2, 30), np.linspace(-50, 20, 15)))
    return (*lung.from_chart(np.cos(angle), np.sin(angle), z), z)


@pytest.mark.parametrize("side", [0, 1])
def test_both_sides_of_the_pleura_land_on_one_surface_but_slide(phantom: PhantomCase, side: int) -> None:
    transform = phantom.transform
    motion = transform.motions[side]
    points = costal_wall(transform, side)
    lung = np.stack(motion.forward(*points))
    chest = np.stack(transform._outside(*points))
    a, b = motion.exhale.to_chart(*chest)
    np.testing.assert_allclose(np.hypot(a, b), 1.0, atol=1e-4)  # no gap, no overlap
    slip = np.linalg.norm(lung - chest, axis=0)
    assert slip.mean() > 5.0
    assert np.abs(lung[2] - chest[2]).mean() > 0.9 * slip.mean()  # along the wall, upwards


def test_the_transform_jumps_at_the_pleura(phantom: PhantomCase) -> None:
    x, y, z = costal_wall(phantom.transform, 0)
    centre = phantom.transform.motions[0].inhale.medial_mm + 40.0
    inside = np.stack(phantom.transform.breathe(x - 0.01 * np.sign(x - centre), y, z)) - np.stack([x, y, z])
    outside = np.stack(phantom.transform.breathe(x + 0.01 * np.sign(x - centre), y, z)) - np.stack([x, y, z])
    assert np.median(np.linalg.norm(inside - outside, axis=0)) > 4.0


def test_ribs_and_spine_hardly_move(phantom: PhantomCase) -> None:
    anatomy = phantom.transform.anatomy
    ribs = grow_structures(np.random.default_rng(0), anatomy).bones.start_mm
    moved = np.linalg.norm(np.stack(phantom.transform.breathe(*ribs.T), axis=1) - ribs, axis=1)
    assert moved.mean() < 1.5
    assert moved.max() < 7.0  # ends at the breastbone
    spine = np.stack([np.zeros(9), np.full(9, anatomy.spine_y_mm - 10.0), np.linspace(-100, 100, 9)])
    np.testing.assert_allclose(np.stack(phantom.transform.breathe(*spine)), spine, atol=1.0)


def test_the_rigid_map_and_its_inverse_agree(phantom: PhantomCase) -> None:
    points = np.random.default_rng(0).uniform(-150, 150, (3, 50))
    transform = phantom.transform
    np.testing.assert_allclose(np.stack(transform.rigid_inverse(*transform.rigid(*points))), points, atol=1e-9)
    np.testing.assert_allclose(transform.rotation @ transform.rotation.T, np.eye(3), atol=1e-12)


def test_the_inverse_outside_the_lungs_undoes_the_map(phantom: PhantomCase) -> None:
    transform = phantom.transform
    points = np.random.default_rng(0).uniform([-170, -120, -110], [170, 120, 130], (4000, 3)).T
    radii = [np.hypot(*motion.exhale.to_chart(*points)) for motion in transform.motions]
    points = points[:, np.minimum(*radii) > 1.0]
    again = transform._outside(*transform.outside_inverse(*points))
    assert np.percentile(np.linalg.norm(np.stack(again) - points, axis=0), 99) < 0.1


def test_calm_breathing_at_rest_is_possible() -> None:
    case = make_phantom(1, spacing_mm=(8, 8, 8), diaphragm_mm=(8, 12), mean_mm=(0, 8), shift_mm=0, rotation_deg=0)
    np.testing.assert_allclose(case.transform.shift_mm, 0.0)
    np.testing.assert_allclose(case.transform.rotation, np.eye(3))
    assert np.linalg.norm(case.moving_landmarks_mm - case.fixed_landmarks_mm, axis=1).mean() < 8.0


def test_an_impossible_mean_displacement_is_an_error() -> None:
    rng = np.random.default_rng(0)
    with pytest.raises(ValueError, match=r"mean_mm: .* at the diaphragm and 5 mm of shift .*\(80, 90\)"):
        draw_breathing(
            rng,
            draw_anatomy(rng),
            landmarks_mm=np.array([[80.0, 0.0, 0.0]]),
            diaphragm_mm=(17, 31),
            mean_mm=(80, 90),
            shift_mm=5,
            rotation_deg=2,
        )
