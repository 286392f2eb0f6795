from __future__ import annotations

from typing import Any

import pytest
import torch
from monai.data import MetaTensor

from bundle.plausibility import PlausibleGeometryd
from tests.plausibility.anatomy import anatomical


def pair_of() -> dict[str, Any]:
    scan, lungs = anatomical()
    return {"name": "a", "fixed": scan, "moving": scan, "fixed_mask": lungs, "moving_mask": lungs}


def test_a_plausible_pair_has_no_sign(caplog: pytest.LogCaptureFixture) -> None:
    assert PlausibleGeometryd()(pair_of())["implausible"] == []
    assert caplog.messages == []


def test_signs_name_the_scan_and_are_logged_with_its_file(caplog: pytest.LogCaptureFixture) -> None:
    pair = pair_of()
    for key in ("moving", "moving_mask"):
        pair[key] = MetaTensor(
            pair[key].as_tensor().flip(3), affine=torch.eye(4), meta={"filename_or_obj": "exhale.nii.gz"}
        )
    signs = PlausibleGeometryd()(pair)["implausible"]
    assert signs[0].startswith("moving scan: voxels of 1 x 1 x 1 mm")
    assert any(sign.startswith("moving scan: the lungs are domed at their lower end") for sign in signs)
    assert any(sign.startswith("width (left-right) of the lungs") for sign in signs)
    assert any(sign.startswith("the moving scan fits the fixed one better mirrored ") for sign in signs)
    assert caplog.messages[0].startswith("exhale.nii.gz: voxels of 1 x 1 x 1 mm")
    assert caplog.messages[0].endswith("check its header")


def test_without_lungs_only_the_grid_is_looked_at() -> None:
    pair = pair_of() | {"fixed_lungs_found": False, "moving_lungs_found": False}
    pair["moving"] = MetaTensor(pair["moving"].as_tensor().flip(3), affine=pair["moving"].affine)
    assert PlausibleGeometryd()(pair)["implausible"] == []


def test_earlier_signs_are_kept() -> None:
    assert PlausibleGeometryd()(pair_of() | {"implausible": ["no HU"]})["implausible"] == ["no HU"]


@pytest.mark.parametrize(("factor", "is_found", "what"), [(10.0, True, "lungs"), (100.0, False, "a scan")])
def test_lengths_of_another_unit_are_refused(factor: float, is_found: bool, what: str) -> None:
    pair = pair_of() | {"fixed_lungs_found": True, "moving_lungs_found": is_found}
    scale = torch.diag(torch.tensor([factor, factor, factor, 1.0], dtype=torch.float64))
    for key in ("moving", "moving_mask"):
        meta = {"filename_or_obj": "exhale.nii.gz"}
        pair[key] = MetaTensor(pair[key].as_tensor(), affine=scale @ pair[key].affine, meta=meta)
    with pytest.raises(ValueError, match=rf"^exhale.nii.gz: found {what} of [\dx ]+ mm, expected at most \d+ mm"):
        PlausibleGeometryd()(pair)
