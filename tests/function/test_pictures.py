from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from matplotlib.image import imread

from bundle.function.maps import KINDS
from bundle.function.pictures import MapPictures, Scale
from tests.function.breaths import make_scans


@pytest.mark.parametrize(
    ("name", "values", "ends"),
    [
        ("volume_change", np.linspace(0.1, 0.5, 101), (0.0, 0.496)),
        ("density_change", np.linspace(-60.0, 20.0, 101), (-59.2, 59.2)),
        ("sri", np.array([0.2, np.nan, 0.4]), (0.0, 1.0)),
        ("prm", np.array([1, 2, 3]), (0.5, 4.5)),
        ("stretch1", np.full(5, np.nan), (0.0, 1.0)),
    ],
)
def test_scales_fit_what_a_map_means(name: str, values: np.ndarray, ends: tuple[float, float]) -> None:
    scale = Scale.of(KINDS[name], values)
    assert (scale.low, scale.high) == pytest.approx(ends, abs=1e-3)


def test_the_lungs_have_the_colours_of_their_values(tmp_path: Path) -> None:
    breath = make_scans().breath()
    pictures = MapPictures(breath, "exhale to inhale")
    lungs = breath.points_mm().numpy()[:, 0] > 0
    slices = pictures.slices_of(KINDS["volume_change"], np.where(lungs, 0.4, 0.0).astype(np.float32))
    axial = slices.pictures["axial"]
    assert np.nanmax(axial[: axial.shape[0] // 3]) == pytest.approx(0.0)  # canonical: from left to right
    assert np.nanmin(axial[-axial.shape[0] // 3 :]) == pytest.approx(0.4)
    pictures.draw(tmp_path / "map.png", slices, "no smoothing")
    pictures.draw_summary(tmp_path / "all.png", [slices] * 5, "case", "no smoothing")
    for name in ("map.png", "all.png"):
        image = imread(tmp_path / name)[..., :3]
        assert ((image[..., 0] > 0.9) & (image[..., 1] > 0.8) & (image[..., 2] < 0.4)).sum() > 100  # cividis: yellow
