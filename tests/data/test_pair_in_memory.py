from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from monai.data import MetaTensor

from bundle.data import PairPart, pair_in_memory
from bundle.io import names_from_json
from tests.grids import make_affine

SHAPE = (8, 9, 10)
GRID = make_affine(SHAPE, (1.0, 1.5, 2.5), angles_deg=(10, 20, 30), flip=(-1, 1, 1))
SCAN = torch.arange(720, dtype=torch.float32).view(SHAPE)


def test_a_mask_array_has_the_shape_of_its_scan_and_a_metatensor_may_lie_on_another_grid() -> None:
    moving = PairPart(SCAN, GRID)
    mask = torch.zeros(SHAPE)
    mask[2:5, 3:6, 4:7] = 1
    pair = pair_in_memory(fixed=PairPart(SCAN.numpy(), GRID.numpy(), mask=mask.numpy()), moving=moving)
    assert torch.equal(pair["fixed_mask"][0].as_tensor(), mask)
    shift = torch.eye(4, dtype=torch.float64)
    shift[:3, 3] = torch.tensor([2.0, 3.0, 4.0])
    cropped = MetaTensor(mask[2:5, 3:6, 4:7], affine=GRID @ shift)
    pair = pair_in_memory(fixed=PairPart(SCAN, GRID, mask=cropped), moving=moving)
    assert torch.equal(pair["fixed_mask"][0].as_tensor().float(), mask)
    with pytest.raises(
        ValueError, match=r"fixed_mask: expected an array of the shape of its scan, \(8, 9, 10\), found"
    ):
        pair_in_memory(fixed=PairPart(SCAN, GRID, mask=np.ones((3, 3, 3))), moving=moving)


def test_names_of_the_fixed_landmarks_go_along(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("label,r,a,s,description\ncarina,0,0,0,main\n")
    fixed = PairPart(SCAN, GRID, landmarks=tmp_path / "a.csv")
    pair = pair_in_memory(fixed=fixed, moving=PairPart(SCAN, GRID, landmarks=torch.zeros(1, 3)))
    assert names_from_json(pair["landmark_names"]) == [("carina", "main")]
    assert pair["name"] == "pair"
    with pytest.raises(ValueError, match="fixed_landmarks holds 1, moving_landmarks holds 2"):
        pair_in_memory(fixed=fixed, moving=PairPart(SCAN, GRID, landmarks=torch.zeros(2, 3)))


def test_a_pair_is_named_by_the_path_the_user_gave(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from bundle.io import write_image

    write_image(tmp_path / "5f3a.nii.gz", SCAN, GRID)
    (tmp_path / "5f3a.nii.gz").rename(tmp_path / "5f3a")  # a blob of a cache
    (tmp_path / "inhale.nii.gz").symlink_to(tmp_path / "5f3a")
    monkeypatch.chdir(tmp_path)
    pair = pair_in_memory(fixed=PairPart("inhale.nii.gz"), moving=PairPart(SCAN, GRID))
    assert pair["name"] == "inhale"
    assert json.loads(pair["given"]) == {"fixed": str(tmp_path / "inhale.nii.gz")}
    assert torch.equal(pair["fixed"][0].as_tensor(), SCAN)
