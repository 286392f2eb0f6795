from __future__ import annotations

import numpy as np
import pytest
import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from scipy.spatial.transform import Rotation

from bundle.reports.planes import PLANES, CanonicalView, window
from tests.reports.conftest import CANONICAL_SHAPE, CANONICAL_SPACING_MM, Store

CODES = ["RAS", "LPS", "LAI", "SRP", "ALI"]


@pytest.mark.parametrize("codes", CODES)
def test_any_storage_gives_the_same_canonical_volume_and_spacing(codes: str, stored_as: Store) -> None:
    canonical = np.arange(np.prod(CANONICAL_SHAPE), dtype=np.float32).reshape(CANONICAL_SHAPE)
    volume, affine = stored_as(canonical, codes)
    view = CanonicalView(affine)
    np.testing.assert_array_equal(view.volume(volume), canonical)
    np.testing.assert_allclose(view.spacing_mm, CANONICAL_SPACING_MM)
    np.testing.assert_allclose(view.directions, np.eye(3), atol=1e-12)
    shape = (volume.shape[0], volume.shape[1], volume.shape[2])
    np.testing.assert_allclose(view.extents_mm(shape), np.multiply(CANONICAL_SHAPE, CANONICAL_SPACING_MM))


@pytest.mark.parametrize("codes", CODES)
def test_vectors_stay_in_world_millimetres_however_the_scan_is_stored(codes: str, stored_as: Store) -> None:
    _, affine = stored_as(np.zeros(CANONICAL_SHAPE), codes)
    vector = torch.tensor([1.0, -2.0, 3.0])
    sizes = tuple(stored_as(np.zeros(CANONICAL_SHAPE), codes)[0].shape)
    slice_vectors = CanonicalView(affine).vectors_of(vector.view(3, 1, 1, 1).expand(3, *sizes), PLANES[1], 4)
    assert slice_vectors.shape == (3, CANONICAL_SHAPE[0], CANONICAL_SHAPE[2])
    np.testing.assert_allclose(slice_vectors[:, 5, 5], vector)


def test_vectors_on_an_oblique_grid_are_components_along_its_axes() -> None:
    rotation = Rotation.from_euler("z", 30, degrees=True).as_matrix()
    affine = torch.eye(4, dtype=torch.float64)
    affine[:3, :3] = torch.from_numpy(rotation @ np.diag([2.0, 1.0, 3.0]))
    along_first_axis = torch.from_numpy(rotation[:, 0] * 5).view(3, 1, 1, 1).expand(3, 4, 5, 6)
    vectors = CanonicalView(affine).vectors_of(along_first_axis, PLANES[0], 2)
    np.testing.assert_allclose(vectors[:, 1, 1], [5, 0, 0], atol=1e-12)


@pytest.mark.parametrize("codes", CODES)
def test_slices_are_where_the_mask_is_widest_and_not_between_the_lungs(codes: str, stored_as: Store) -> None:
    mask = np.zeros(CANONICAL_SHAPE)
    mask[2:8, 5:15, 2:6] = 1
    mask[13:18, 5:15, 2:6] = 1
    mask[4, 4:16, 1:9] = 1
    volume, affine = stored_as(mask, codes)
    shape = (volume.shape[0], volume.shape[1], volume.shape[2])
    indices = CanonicalView(affine).widest_slices(volume, shape)
    assert indices["sagittal"] == 4
    assert 5 <= indices["coronal"] < 15
    assert 2 <= indices["axial"] < 6


@pytest.mark.parametrize("mask", [None, torch.zeros(7, 8, 10), torch.ones(7, 8, 10)], ids=["none", "empty", "all"])
def test_where_no_slice_is_wider_than_another_the_middle_slices_are_shown(mask: torch.Tensor | None) -> None:
    affine = torch.tensor([[0, 0, -1.0, 0], [1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 0, 1]])  # stored as A, S, L
    assert CanonicalView(affine).widest_slices(mask, (7, 8, 10)) == {"sagittal": 5, "coronal": 3, "axial": 4}


@pytest.mark.parametrize("codes", CODES)
@pytest.mark.parametrize(
    ("plane", "corner"),
    [("axial", (-1, -1, 6)), ("coronal", (-1, 12, -1)), ("sagittal", (10, -1, -1))],
)
def test_right_or_anterior_is_shown_left_and_anterior_or_superior_on_top(
    plane: str, corner: tuple[int, int, int], codes: str, stored_as: Store
) -> None:
    canonical = np.zeros(CANONICAL_SHAPE)
    spot = tuple(slice(-4, None) if index == -1 else index for index in corner)
    canonical[spot] = 1.0
    volume, affine = stored_as(canonical, codes)
    view = CanonicalView(affine)
    shown = next(item for item in PLANES if item.name == plane)
    figure = Figure(figsize=(2, 2), facecolor="black")
    canvas = FigureCanvasAgg(figure)
    axes = figure.add_axes((0, 0, 1, 1))
    index = corner[shown.normal]
    view.show(axes, view.slice_of(volume, shown, index), shown, cmap="gray", vmin=0, vmax=1)
    for label in list(axes.texts):
        label.remove()
    canvas.draw()
    rows, columns = np.nonzero(np.asarray(canvas.buffer_rgba())[..., 0] > 128)
    lit = np.asarray(canvas.buffer_rgba()).shape
    assert columns.max() < lit[1] / 2  # the right (axial, coronal) or anterior (sagittal) corner is on the left
    assert rows.max() < lit[0] / 2  # the anterior (axial) or superior side is on top


def test_pictures_keep_the_proportions_of_the_body() -> None:
    axes = Figure().add_subplot()
    FigureCanvasAgg(axes.figure)
    view = CanonicalView(torch.diag(torch.tensor([0.7, 0.8, 2.5, 1.0])))
    image = view.show(axes, np.zeros((30, 10)), PLANES[1])
    assert image.get_extent() == pytest.approx([0, 21, 0, 25])
    assert axes.get_aspect() == 1.0


def test_window_maps_air_to_black_and_bone_to_white() -> None:
    np.testing.assert_allclose(window(np.array([-2048.0, -1000, -400, 200, 1500])), [0, 0, 0.5, 1, 1])
