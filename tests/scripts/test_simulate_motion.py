from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from bundle.data import check_pairs, read_pairs
from bundle.io import check_header, read_displacement, read_landmarks_mm
from scripts import simulate_motion


def test_pairs_are_written_once_with_files_that_agree(chest_ct: Path, tmp_path: Path) -> None:
    simulate_motion.write(str(chest_ct), str(tmp_path), num_training=1, num_validation=0, num_test=1, seed=2)
    pairs = json.loads((tmp_path / "pairs.json").read_text())
    assert [len(pairs[section]) for section in ("training", "validation", "test")] == [1, 0, 1]
    (item,) = check_pairs(read_pairs(tmp_path, section="test"))
    fixed, moving = (
        read_landmarks_mm(item[f"{side}_landmarks"], check_header(item[side])) for side in ("fixed", "moving")
    )
    field, affine = read_displacement(item["displacement"])
    index = (np.linalg.inv(affine.numpy()) @ np.c_[fixed, np.ones(len(fixed))].T)[:3].round().astype(int)
    shift = field.numpy()[:, index[0], index[1], index[2]].T
    np.testing.assert_allclose(fixed.numpy() + shift, moving.numpy(), atol=0.01)
    before = (tmp_path / "test_00" / "fixed.nii.gz").stat().st_mtime_ns
    simulate_motion.write([str(chest_ct)], str(tmp_path), num_training=0, num_validation=0, num_test=1, seed=2)
    assert (tmp_path / "test_00" / "fixed.nii.gz").stat().st_mtime_ns == before


def test_a_kind_of_scans_is_asked_for_once(chest_ct: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"clinical, hard: expected at most one of them, got both"):
        simulate_motion.write(str(chest_ct), str(tmp_path / "out"), clinical=True, hard=True)
    assert not (tmp_path / "out").exists()


def test_samples_are_drawn_into_a_new_folder(chest_ct: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(simulate_motion, "SAMPLES", 2)
    simulate_motion.draw(str(chest_ct), str(tmp_path / "new" / "motion.png"), seed=1)
    assert (tmp_path / "new" / "motion.png").stat().st_size > 10_000
