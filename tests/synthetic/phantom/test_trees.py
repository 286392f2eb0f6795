from __future__ import annotations

import numpy as np
import pytest

from bundle.synthetic.phantom.anatomy import draw_anatomy
from bundle.synthetic.phantom.trees import Tubes, grow_structures, grow_tree, sample_lung


def test_a_tree_reaches_every_point_once_and_halves_on_its_way() -> None:
    rng = np.random.default_rng(0)
    points = rng.uniform(-50, 50, (40, 3))
    tree = grow_tree(rng, np.array([0.0, 0.0, 80.0]), points)
    tips = tree.tubes.end_mm[tree.tips == 1]
    np.testing.assert_allclose(np.sort(tips, axis=0), np.sort(points, axis=0))
    assert len(tree.tips) == 2 * len(points) - 1
    assert len(tree.forks_mm) == len(points) - 1
    children = tree.parent >= 0
    np.testing.assert_allclose(tree.tubes.start_mm[children], tree.tubes.end_mm[tree.parent[children]])
    fed = np.bincount(tree.parent[children], tree.tips[children], minlength=len(tree.tips))
    np.testing.assert_array_equal(fed[tree.tips > 1], tree.tips[tree.tips > 1])


def test_branches_never_grow_thicker_towards_the_tips() -> None:
    rng = np.random.default_rng(1)
    tree = grow_tree(rng, np.zeros(3), rng.uniform(-50, 50, (300, 3)))
    child = tree.parent >= 0
    assert (tree.tubes.radius_mm[child] <= tree.tubes.radius_mm[tree.parent[child]]).all()
    assert tree.tubes.radius_mm.min() == pytest.approx(0.8)


def test_splitting_tubes_keeps_their_length_and_ends() -> None:
    tubes = Tubes(np.zeros((2, 3)), np.array([[0.0, 0.0, 10.0], [3.0, 4.0, 0.0]]), np.array([1.0, 2.0]))
    pieces = tubes.split(4.0)
    lengths = np.linalg.norm(pieces.end_mm - pieces.start_mm, axis=1)
    np.testing.assert_allclose(lengths, [10 / 3, 10 / 3, 10 / 3, 2.5, 2.5])
    np.testing.assert_allclose(pieces.end_mm[[2, 4]], tubes.end_mm)
    np.testing.assert_allclose(pieces.radius_mm, [1, 1, 1, 2, 2])


def test_points_of_a_lung_keep_their_depth_and_fill_it() -> None:
    lung = draw_anatomy(np.random.default_rng(0)).left
    points = sample_lung(np.random.default_rng(0), lung, 6.0)
    a, b = lung.to_chart(*points.T)
    assert (lung.inside_depth_mm(a, b, points[:, 2]) > 6.0).all()
    cloud = np.stack(lung.cloud(), axis=1)
    nearest = np.sqrt(((cloud[::7, None] - points[None]) ** 2).sum(-1)).min(axis=1)
    assert nearest.max() < 30.0  # the sharp rim of the base is out of a point's reach


def test_the_lungs_are_full_of_vessels() -> None:
    """A network on a 4 mm grid has to see texture everywhere: mean distance to the nearest vessel of a few mm."""
    anatomy = draw_anatomy(np.random.default_rng(0))
    vessels = grow_structures(np.random.default_rng(0), anatomy).vessels.split(3.0)
    inside = np.concatenate([sample_lung(np.random.default_rng(5), lung, 5.0)[::20] for lung in anatomy.lungs])
    distance = np.sqrt(((inside[:, None] - vessels.start_mm[None]) ** 2).sum(-1)).min(axis=1)
    assert distance.mean() < 5.0
