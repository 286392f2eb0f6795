from __future__ import annotations

from typing import Any

import pytest
import torch
from monai.data import MetaTensor, decollate_batch, list_data_collate

from bundle.plausibility import HounsfieldUnitsd
from tests.chest import Chest, render

EXPECTED = r"expected Hounsfield units \(air near -1000, soft tissue near 0 to 60\)"


def scan(key: str, *, slope: float = 1.0, offset: float = 0.0) -> MetaTensor:
    hu = render(Chest())
    return MetaTensor(hu.as_tensor() * slope + offset, affine=hu.affine, meta={"filename_or_obj": f"{key}.nii.gz"})


def pair_of(*, fixed: tuple[float, float] = (1, 0), moving: tuple[float, float] = (1, 0)) -> dict[str, Any]:
    given = {"fixed": fixed, "moving": moving}
    return {"name": "a"} | {key: scan(key, slope=slope, offset=offset) for key, (slope, offset) in given.items()}


@pytest.fixture
def check() -> HounsfieldUnitsd:
    return HounsfieldUnitsd(window_hu={"low": -1000.0, "high": -100.0})


def test_hu_are_unchanged(check: HounsfieldUnitsd) -> None:
    pair = pair_of()
    found = check(pair)
    assert found["warnings"] == found["implausible"] == []
    assert found["fixed"] is pair["fixed"]


@pytest.mark.parametrize("offset", [1024.0, 1000.0])
def test_an_offset_is_removed_and_said(
    check: HounsfieldUnitsd, offset: float, caplog: pytest.LogCaptureFixture
) -> None:
    found = check(pair_of(moving=(1, offset)))
    torch.testing.assert_close(found["moving"].as_tensor(), scan("moving").as_tensor(), atol=1e-3, rtol=0)
    torch.testing.assert_close(found["moving"].affine, scan("moving").affine)
    (warning,) = found["warnings"]
    assert warning.startswith(f"the moving scan holds HU + {offset:.0f} (air near ")
    assert caplog.messages == [f"moving.nii.gz: {warning}"]


def test_the_other_scan_being_in_hu_refuses_0_to_1(check: HounsfieldUnitsd) -> None:
    with pytest.raises(
        ValueError, match=rf"moving\.nii\.gz: found values from 0 to .*, {EXPECTED} as in the other scan"
    ):
        check(pair_of(moving=(1 / 2000, 0.5)))


@pytest.mark.parametrize(
    ("slope", "offset"),
    [(1 / 2000, 0.5), (255 / 2000, 127), (0.1, 0), (3, 3000), (1, 8192)],
    ids=["0..1", "0..255", "HU times 0.1", "MR", "HU + 8192"],
)
def test_two_scans_without_contrast_in_the_window_are_refused(
    check: HounsfieldUnitsd, slope: float, offset: float
) -> None:
    message = rf"fixed\.nii\.gz: found values from .*, {EXPECTED}: 100\.0% of the voxels look alike from -1000 to -100"
    with pytest.raises(ValueError, match=message):
        check(pair_of(fixed=(slope, offset), moving=(slope, offset)))


def test_another_modality_with_contrast_in_the_window_goes_on_with_a_sign(caplog: pytest.LogCaptureFixture) -> None:
    check = HounsfieldUnitsd(window_hu={"low": 0.0, "high": 6000.0})
    found = check(pair_of(fixed=(3, 3000), moving=(3, 3000)))
    assert [sign.split(":")[0] for sign in found["implausible"]] == ["fixed scan", "moving scan"]
    assert "that are not distributed as Hounsfield units" in caplog.messages[0]
    torch.testing.assert_close(found["fixed"].as_tensor(), scan("fixed", slope=3, offset=3000).as_tensor())


@pytest.mark.parametrize("slope", [-1, 0.5, 2, 10])
def test_hu_times_a_factor_have_a_sign(check: HounsfieldUnitsd, slope: float) -> None:
    found = check(pair_of(moving=(slope, 0)))
    (sign,) = found["implausible"]
    assert sign.startswith("moving scan: values from ")
    assert found["warnings"] == []


def test_warnings_survive_an_engine(check: HounsfieldUnitsd) -> None:
    found = check(pair_of(moving=(1, 1024)))
    (batch,) = decollate_batch(list_data_collate([{"warnings": found["warnings"]}]))
    assert batch["warnings"] == found["warnings"]
