from __future__ import annotations

from pathlib import Path

import matplotlib.image
import numpy as np
import pytest

from scripts.benchmark.charts import (
    LANDMARKS_A_BIN,
    binned_medians,
    draw_tre_by_displacement,
    draw_tre_distribution,
)
from tests.scripts.benchmark.cases import LABELS, many_results


@pytest.mark.parametrize("draw", [draw_tre_distribution, draw_tre_by_displacement])
def test_a_chart_has_a_panel_for_each_data_set_and_ink_in_each(draw, tmp_path: Path) -> None:
    results = many_results()
    draw(tmp_path / "both.png", results, LABELS)
    draw(tmp_path / "one.png", [result for result in results if result.data == "scan"], LABELS)
    both, one = (matplotlib.image.imread(tmp_path / name)[..., :3] for name in ("both.png", "one.png"))
    assert both.shape[1] > 1.4 * one.shape[1]
    coloured = np.ptp(both, axis=-1) > 0.2
    thirds = np.array_split(coloured.any(axis=0), 3)
    assert all(part.any() for part in thirds[1:])


def test_bins_hold_equal_counts_in_the_order_of_the_motion() -> None:
    initial = np.arange(4 * LANDMARKS_A_BIN, dtype=float)
    shuffled = np.random.default_rng(1).permutation(initial)
    x, y = binned_medians(shuffled, shuffled / 10)
    assert x == [12.0, 37.0, 62.0, 87.0]
    assert y == pytest.approx([1.2, 3.7, 6.2, 8.7])


def test_a_few_landmarks_make_one_bin() -> None:
    assert binned_medians(np.array([3.0, 1.0, 2.0]), np.array([9.0, 7.0, 8.0])) == ([2.0], [8.0])
