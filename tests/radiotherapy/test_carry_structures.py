from __future__ import annotations

import itk
import numpy as np
import pytest
import torch

shapely = pytest.importorskip("shapely", reason="requirements-radiotherapy.txt: how structures are carried")

from bundle.geometry import swap_ras_lps_affine  # noqa: E402  (after the skip)
from bundle.io import ImageHeader  # noqa: E402
from bundle.io.field_transform import affine_transform  # noqa: E402
from bundle.radiotherapy.carry_structures import carry_structures  # noqa: E402
from bundle.radiotherapy.structures import Structure  # noqa: E402
from tests.grids import make_affine, rotation  # noqa: E402
from tests.radiotherapy.conftest import centre_lps, lps_axes, sphere  # noqa: E402

SHAPE, SPACING_MM, CENTRE_MM = (70, 60, 30), (1.0, 1.3, 2.5), (-10.0, 30.0, -900.0)
RADIUS_MM = 22.0


def make_grid(angles_deg: tuple[float, float, float] = (0, 0, 180), centre_mm: tuple = CENTRE_MM) -> ImageHeader:
    return ImageHeader("scan", SHAPE, make_affine(SHAPE, SPACING_MM, angles_deg=angles_deg, centre_mm=centre_mm))


def both_ways(affine: torch.Tensor) -> tuple[itk.Transform, itk.Transform]:
    """ITK transforms of an affine (4, 4), RAS mm, and of its inverse."""
    return affine_transform(affine, itk.D), affine_transform(torch.linalg.inv(affine), itk.D)


def heights(contours: list[np.ndarray], grid: ImageHeader) -> np.ndarray:
    """Slice number of each contour's points, which must be equal within each."""
    axes, spacing, origin = lps_axes(grid.affine)
    at = [((contour - origin) @ axes[:, 2]) / spacing[2] for contour in contours]
    np.testing.assert_allclose([np.ptp(numbers) for numbers in at], 0.0, atol=1e-9)
    return np.array([numbers[0] for numbers in at])


def between_mm(contours: list[np.ndarray], others: list[np.ndarray], axes: np.ndarray) -> np.ndarray:
    """Distances of points along contours to the borders of others in the same plane."""
    found = []
    for contour in contours:
        flat = contour @ axes
        near = [other @ axes for other in others if abs((other @ axes)[0, 2] - flat[0, 2]) < 0.01]
        borders = shapely.union_all([_border(other[:, :2]) for other in near])
        points = shapely.get_coordinates(shapely.segmentize(_border(flat[:, :2]), 0.2))
        found.append(shapely.distance(borders, shapely.points(points)))
    return np.concatenate(found)


def _border(ring: np.ndarray) -> object:
    """Without the channel of a keyhole."""
    return shapely.union_all([part.boundary for part in shapely.get_parts(shapely.make_valid(shapely.Polygon(ring)))])


@pytest.mark.parametrize("angles_deg", [(0, 0, 180), (12, -9, 160)])
def test_the_identity_gives_the_contours_back(angles_deg: tuple[float, float, float]) -> None:
    """With holes, axial and oblique: 0.05 mm on average, both ways."""
    grid = make_grid(angles_deg)
    axes, spacing, _ = lps_axes(grid.affine)
    contours = sphere(grid, centre_lps(grid), [RADIUS_MM, 9.0])
    square = np.array([[0, 0], [14, 0], [14, 9], [3, 9], [3, 4], [0, 4.0]]) - 4.0  # corners
    first = centre_lps(grid) + axes[:, 2] * spacing[2] / 2 + square @ axes[:, :2].T
    box = [first, first + axes[:, 2] * spacing[2]]
    identity = both_ways(torch.eye(4, dtype=torch.float64))
    shell, corners = carry_structures(
        [Structure(1, "shell", "closed", contours), Structure(2, "box", "closed", box)],
        *identity,
        source=grid,
        target=grid,
    )
    for carried, drawn in ((shell.contours, contours), (corners.contours, box)):
        assert sorted(set(heights(carried, grid).round(6))) == sorted(set(heights(drawn, grid).round(6)))
        for one, other in ((drawn, carried), (carried, drawn)):
            assert between_mm(one, other, axes).mean() < 0.05
            assert between_mm(one, other, axes).max() < 0.35  # at corners


def test_a_sphere_becomes_the_ellipsoid_of_the_affine() -> None:
    """Onto an oblique grid with other slices, by rotation, scaling and shear."""
    source, target = make_grid(), make_grid((12, -9, 160), (-60.0, 10.0, -620.0))
    affine = rotation(5, 10, -8)  # target to source
    affine[:3, :3] *= torch.tensor([1.15, 0.9, 1.05])
    affine[0, 1] += 0.08
    middle = torch.tensor(CENTRE_MM, dtype=torch.float64)
    affine[:3, 3] = middle - affine[:3, :3] @ torch.tensor([-60.0, 10.0, -620.0], dtype=torch.float64)
    drawn = Structure(1, "ball", "closed", sphere(source, centre_lps(source), [RADIUS_MM]))
    (carried,) = carry_structures([drawn], *both_ways(affine), source=source, target=target)
    heights(carried.contours, target)
    points = np.concatenate(carried.contours)
    lps = swap_ras_lps_affine(affine).numpy()
    centred = points @ lps[:3, :3].T + lps[:3, 3] - centre_lps(source)
    off_mm = np.linalg.norm(centred, axis=1) - RADIUS_MM
    flank = np.abs(centred[:, 2]) < 0.7 * RADIUS_MM  # the poles end half a slice from the last contour
    assert flank.sum() > 1000
    assert np.abs(off_mm[flank]).mean() < 0.05
    assert np.abs(off_mm[flank]).max() < 0.15
    axes, spacing, _ = lps_axes(target.affine)
    volume = sum(shapely.Polygon((contour @ axes)[:, :2]).area for contour in carried.contours) * spacing[2]
    drawn_axes, drawn_spacing, _ = lps_axes(source.affine)
    before = sum(shapely.Polygon((c @ drawn_axes)[:, :2]).area for c in drawn.contours) * drawn_spacing[2]
    assert volume == pytest.approx(before / float(torch.linalg.det(affine[:3, :3])), rel=0.01)


def test_points_go_the_other_way_and_stay_points() -> None:
    grid = make_grid()
    shift = torch.eye(4, dtype=torch.float64)
    shift[:3, 3] = torch.tensor([3.0, -4.0, 5.0])  # RAS; in LPS -3, 4, 5
    marks = Structure(7, "marks", "point", [centre_lps(grid)[None], centre_lps(grid)[None] + 6.0])
    (carried,) = carry_structures([marks], *both_ways(shift), source=grid, target=grid)
    assert carried.kind == "point"
    expected = np.concatenate(marks.contours) - [-3.0, 4.0, 5.0]
    np.testing.assert_allclose(np.concatenate(carried.contours), expected, atol=1e-6)


def test_what_lies_beside_the_target_is_empty_and_what_reaches_its_border_ends_there(
    caplog: pytest.LogCaptureFixture,
) -> None:
    grid = make_grid()
    away = torch.eye(4, dtype=torch.float64)
    away[2, 3] = 300.0
    ball = Structure(1, "ball", "closed", sphere(grid, centre_lps(grid), [RADIUS_MM]))
    nothing = Structure(2, "later", "empty", [])
    out, later = carry_structures([ball, nothing], *both_ways(away), source=grid, target=grid)
    assert (out.kind, out.contours, later.kind) == ("empty", [], "empty")
    assert "structure 'ball': nothing of it lies in the target scan" in caplog.text
    beside = torch.eye(4, dtype=torch.float64)
    beside[0, 3] = 35.0  # RAS: x of the target's border, half of the structure
    (half,) = carry_structures([ball], *both_ways(beside), source=grid, target=grid)
    axes, spacing, origin = lps_axes(grid.affine)
    vox = ((np.concatenate(half.contours) - origin) @ axes) / spacing
    assert (vox >= -1e-6).all()
    assert (vox <= np.array(SHAPE) - 1 + 1e-6).all()
    areas = [shapely.Polygon((contour @ axes)[:, :2]).area for contour in half.contours]
    assert max(areas) == pytest.approx(np.pi * RADIUS_MM**2 / 2, rel=0.05)
