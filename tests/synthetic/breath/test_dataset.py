from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from bundle.io import write_image
from bundle.synthetic.breath.dataset import write_breaths
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
