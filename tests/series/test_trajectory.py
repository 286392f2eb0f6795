from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from bundle.geometry import WorldTransform
from bundle.series.fields import identity_like
from bundle.series.trajectory import (
    MOST_NAMED,
    Trajectory,
    draw_trajectories,
    landmark_trajectories,
    write_trajectories,
)
from tests.grids import make_affine

GRID = make_affine((8, 8, 8), (20.0, 20.0, 20.0), angles_deg=(10, 20, -5))
POINTS = torch.tensor([[10.0, 20.0, 30.0], [-1.0, 2.0, -3.0]], dtype=torch.float64)


def trajectories() -> list[Trajectory]:
    """RAS mm: the second member lies 3 mm to the right, 4 mm to the front and 12 mm to the head."""
    moved = torch.eye(4, dtype=torch.float64)
    moved[:3, 3] = torch.tensor([3.0, 4.0, 12.0])
    other = WorldTransform(torch.zeros(1, 3, 8, 8, 8), GRID, moved @ GRID)
    return landmark_trajectories({"p0": identity_like(other), "p1": other}, POINTS, ["carina", "2"])


def test_tables_hold_positions_and_displacements_in_lps_mm(tmp_path: Path) -> None:
    write_trajectories(tmp_path, trajectories(), ["p0", "p1"], 0)
    with (tmp_path / "trajectories.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [(row["kind"], row["name"], row["member"]) for row in rows] == [
        ("landmark", name, member) for name in ("carina", "2") for member in ("p0", "p1")
    ]
    found = [[float(rows[1][f"{axis}_mm"]) for axis in ("x", "y", "z")], [float(rows[1]["distance_mm"])]]
    np.testing.assert_allclose(found[0], [-13.0, -24.0, 42.0], atol=1e-3)
    np.testing.assert_allclose(found[1], [13.0], atol=1e-3)
    shift = [float(rows[1][f"to_{side}_mm"]) for side in ("left", "back", "head")]
    np.testing.assert_allclose(shift, [-3.0, -4.0, 12.0], atol=1e-3)
    assert float(rows[0]["distance_mm"]) == 0.0


def test_amplitudes_are_peak_to_peak() -> None:
    np.testing.assert_allclose(trajectories()[0].amplitude_mm, [3.0, 4.0, 12.0, 13.0], atol=1e-4)


@pytest.mark.parametrize("count", [2, MOST_NAMED + 1], ids=["named", "grey"])
def test_the_plot_names_a_few_lines_and_greys_many(tmp_path: Path, count: int) -> None:
    lines = [Trajectory("landmark", str(n), torch.rand(3, 3, dtype=torch.float64)) for n in range(count)]
    draw_trajectories(tmp_path / "plot.png", lines, ["a", "b", "c"], 1, title="title")
    pixels = np.asarray(Image.open(tmp_path / "plot.png").convert("RGB")).astype(int)
    colourful = (pixels.max(axis=2) - pixels.min(axis=2) > 80).sum()
    assert (colourful > 100) == (count <= MOST_NAMED)
