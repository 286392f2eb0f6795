from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from bundle.io import check_header, write_image
from bundle.synthetic.breath.dataset import write_breaths
from bundle.synthetic.breath.motion import CLINICAL, HARD_VERSION
from tests.synthetic.breath.simulated import chest

ONE_PAIR = {"num_training": 1, "num_validation": 0, "num_test": 0, "seed": 0, "workers": 1}


def test_a_scan_without_lungs_is_named(tmp_path: Path) -> None:
    path = tmp_path / "water.nii.gz"
    write_image(path, np.arange(16 * 15 * 14).reshape(16, 15, 14) % 40, chest()[0].affine, dtype=np.int16)
    with pytest.raises(ValueError, match=r"water\.nii\.gz: no lung found"):
        write_breaths(tmp_path / "out", scans=[path], **ONE_PAIR)


def test_two_scans_of_one_name_are_refused(chest_ct: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"scans: expected files of different names, got .*chest.*other/chest"):
        write_breaths(tmp_path / "out", scans=[chest_ct, Path("other/chest.nii.gz")], **ONE_PAIR)
    assert not (tmp_path / "out").exists()


def test_clinical_scans_are_noted_and_made_larger(
    chest_ct: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(CLINICAL, "matrix_vox", 60)
    monkeypatch.setitem(CLINICAL, "in_plane_mm", 5.0)
    write_breaths(tmp_path, scans=[chest_ct], clinical=True, **ONE_PAIR)
    for side in ("fixed", "moving"):
        header = check_header(tmp_path / "training_00" / f"{side}.nii.gz")
        assert header.shape[:2] == (60, 60)
        assert header.spacing_mm == pytest.approx((5.0, 5.0, 2.5))
    records = [json.loads(path.read_text()) for path in (tmp_path / "training_00").glob("*.json")]
    assert [record["made_from"]["clinical"] for record in records] == [True]


def test_hard_pairs_are_noted_and_share_their_breath_with_the_others(chest_ct: Path, tmp_path: Path) -> None:
    for name, hard in (("plain", False), ("hard", True), ("again", True)):
        write_breaths(tmp_path / name, scans=[chest_ct], hard=hard, **ONE_PAIR)
    plain, hard, again = (
        json.loads((tmp_path / name / "training_00" / "made_from.json").read_text())
        for name in ("plain", "hard", "again")
    )
    assert hard["made_from"] == plain["made_from"] | {"hard": HARD_VERSION}
    changed = {key for key, value in hard["motion_parameters"].items() if value != plain["motion_parameters"][key]}
    assert changed == {"inhale", "exhale"}
    assert again == hard
    for file in ("fixed.nii.gz", "moving.nii.gz", "displacement.nii.gz", "moving_landmarks.csv"):
        first, second = ((tmp_path / name / "training_00" / file).read_bytes() for name in ("hard", "again"))
        assert first == second, file
