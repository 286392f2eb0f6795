from __future__ import annotations

import json
import logging
import shutil
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch

from bundle.data import FUNCTION_FOLDER, FUNCTION_REPORT, FUNCTION_TABLE, ResultFolder
from bundle.function import LungFunctiond, LungFunctionScansd, MapOptions, lung_pair, write_lung_function
from bundle.io import ImageHeader
from bundle.plausibility import NOT_IN_HU
from bundle.quality import Verdict
from tests.function.conftest import Phantom, motion_of
from tests.result_folders import field_of


@pytest.fixture
def pair(phantom: Phantom, tmp_path: Path) -> dict[str, Any]:
    """The phantom as the registration has it before its results are written."""
    result = ResultFolder.read(phantom.inhale_fixed)

    return {
        "name": "phantom",
        "output_dir": str(tmp_path / "out"),
        "verdict": Verdict("ok", ()),
        "fixed": result.fixed,
        "moving": result.moving,
        "fixed_mask": result.fixed_mask,
        "moving_mask": result.moving_mask,
        "fixed_lungs_found": True,
        "moving_lungs_found": True,
        **field_of(partial(motion_of, phantom.case), ImageHeader.of(result.fixed), 2.5),
    }


def test_nothing_is_written_unless_maps_are_named(pair: dict[str, Any]) -> None:
    stale = Path(pair["output_dir"]) / "lung_function"
    stale.mkdir(parents=True)
    (stale / "of_an_earlier_registration.nii.gz").write_bytes(b"")
    LungFunctiond()(pair)
    assert list(Path(pair["output_dir"]).iterdir()) == []


def test_a_registration_writes_what_the_command_writes(pair: dict[str, Any], phantom: Phantom, tmp_path: Path) -> None:
    LungFunctiond(maps=["volume_change"], smooth_mm=2.0)(pair)
    options = MapOptions(maps="volume_change", smooth_mm=2.0)
    again = write_lung_function(tmp_path / "again", lung_pair(ResultFolder.read(phantom.inhale_fixed)), options)
    report = json.loads((Path(pair["output_dir"]) / "lung_function" / FUNCTION_REPORT).read_text())
    assert report["exhale"] == again["exhale"]
    assert report["mass"] == again["mass"]
    assert report["volumes"]["change_of_field"] == pytest.approx(again["volumes"]["change_of_field"], abs=1e-3)


def test_whole_hu_within_a_registration_give_the_maps_of_float_hu(pair: dict[str, Any], tmp_path: Path) -> None:
    tables = []
    for dtype in (torch.int16, torch.float32):
        scans = {key: pair[key].to(dtype) for key in ("fixed", "moving")}
        LungFunctiond(maps="all")({**pair, **scans, "output_dir": str(tmp_path / str(dtype))})
        tables.append((tmp_path / str(dtype) / FUNCTION_FOLDER / FUNCTION_TABLE).read_text())
    assert tables[0] == tables[1]


def test_a_failed_registration_gives_no_maps(pair: dict[str, Any], caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        LungFunctiond(maps="all")({**pair, "verdict": Verdict("failed", ("folding",))})
    assert not (Path(pair["output_dir"]) / "lung_function").exists()
    assert "the registration failed: no maps of lung function" in caplog.text


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"moving_lungs_found": False}, "phantom: lung function needs the lungs of both scans; none found in: moving"),
        (
            {"implausible": [f"fixed scan: values 0 to 255 {NOT_IN_HU} HU"]},
            "lung function needs scans in HU: fixed scan",
        ),
    ],
)
def test_what_has_no_lungs_or_no_hu_is_refused(pair: dict[str, Any], change: dict[str, Any], match: str) -> None:
    for transform in (LungFunctionScansd, LungFunctiond):  # before the registration, and after it
        with pytest.raises(ValueError, match=match):
            transform(maps="all")({**pair, **change})
        transform()({**pair, **change})  # without maps there is nothing to refuse


def test_unknown_maps_are_refused_before_anything_is_read() -> None:
    with pytest.raises(ValueError, match="got jacobian"):
        LungFunctiond(maps=["jacobian"])


def test_a_failed_result_folder_is_refused(phantom: Phantom, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(phantom.inhale_fixed, tmp_path / "failed"))
    report = json.loads((folder / "report.json").read_text())
    (folder / "report.json").write_text(json.dumps(report | {"verdict": "failed", "reasons": ["it folds"]}))
    with pytest.raises(ValueError, match="this registration failed, nothing is computed from it: it folds"):
        lung_pair(ResultFolder.read(folder))
