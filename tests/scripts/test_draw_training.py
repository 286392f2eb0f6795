from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from matplotlib.image import imread
from torch.utils.tensorboard import SummaryWriter

from scripts.draw_training import draw_training, read_curves


def write_run(folder: Path, *names: str) -> None:
    for part in range(2):  # as after --resume
        with SummaryWriter(str(folder)) as writer:
            for step in range(1, 6):
                for name in names:
                    writer.add_scalar(name, step + 5 * part, step + 5 * part)


def test_curves_of_a_resumed_run_are_joined_in_order_and_drawn(tmp_path: Path) -> None:
    write_run(tmp_path, "loss", "tre_mm", "lncc")
    curves = read_curves(tmp_path)
    for curve in curves.values():
        np.testing.assert_array_equal(curve, np.repeat(np.arange(1.0, 11)[:, None], 2, axis=1))
    draw_training(str(tmp_path), str(tmp_path / "curve.png"))
    assert imread(tmp_path / "curve.png").std() > 0.05


def test_a_folder_without_the_curves_is_named(tmp_path: Path) -> None:
    write_run(tmp_path, "loss")
    with pytest.raises(FileNotFoundError, match=rf"{tmp_path.name}: no TensorBoard events with tre_mm, lncc"):
        read_curves(tmp_path)
