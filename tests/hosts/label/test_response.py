from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from monai.data import MetaTensor

from bundle.hosts.label import LabelResponsed

SHAPE = (4, 5, 6)
AFFINE = torch.diag(torch.tensor([2.0, 3.0, 4.0, 1.0], dtype=torch.float64))


def finish(pair: dict[Any, Any]) -> dict[Any, Any]:
    """Scans the network saw, less the mask; a report and a field in the pair's folder."""
    assert pair["image"].shape == (2, *SHAPE)
    folder = Path(pair["output_dir"])
    (folder / "report.json").write_text(json.dumps({"scores": {"tre_mm": 1.5}}))
    (folder / "displacement.nii.gz").touch()
    warped = torch.tensor([-1000.6, 40.4, 1e6]).repeat(40)
    return {**pair, "warped": MetaTensor(warped.view(1, *SHAPE), affine=AFFINE)}


@pytest.fixture
def pair(tmp_path: Path) -> dict[str, Any]:
    fixed = MetaTensor(torch.zeros(1, *SHAPE), affine=AFFINE)
    return {"fixed": fixed, "image": torch.zeros(3, *SHAPE), "output_dir": str(tmp_path)}


def test_the_answer_is_the_warped_scan_in_whole_hu_on_the_fixed_grid(pair: dict[str, Any]) -> None:
    answer = LabelResponsed(postprocessing=finish)(pair)
    assert answer["pred"].dtype == torch.int16
    assert answer["pred"].flatten()[:3].tolist() == [-1001, 40, 32767]
    torch.testing.assert_close(answer["pred"].affine, AFFINE)
    assert answer["image"] is pair["fixed"]


def test_the_json_part_is_the_report_and_the_paths_of_the_files(pair: dict[str, Any], tmp_path: Path) -> None:
    result = LabelResponsed(postprocessing=finish)(pair)["result"]
    files = {name: str(tmp_path / name) for name in ("displacement.nii.gz", "report.json")}
    assert result == {"scores": {"tre_mm": 1.5}, "files": files}


def test_the_request_may_choose_the_format(pair: dict[str, Any]) -> None:
    respond = LabelResponsed(postprocessing=finish)
    assert respond(pair)["result_extension"] == ".nii.gz"
    assert respond({**pair, "result_extension": ".nrrd"})["result_extension"] == ".nrrd"
