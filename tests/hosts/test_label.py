"""The bundle in MONAI Label's own app for bundles, as a client of the server meets it."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import SimpleITK as sitk

from tests.hosts.label_server import (
    COARSE,
    ENVIRONMENT,
    MAIN,
    PYTHON,
    ROOT,
    Answer,
    copy_bundle,
    get,
    needs_label,
    post,
    serving,
)

pytestmark = [pytest.mark.slow, needs_label]


class Served(NamedTuple):
    """The server, the address that registers to `inhale` of the datastore, and the phantom pair behind it."""

    url: str
    inhale: str
    case: Path


@pytest.fixture(scope="module")
def served(small_phantoms: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("label")
    case = small_phantoms / "test_00"
    download = ["apps", "--download", "--name", "monaibundle", "--output", str(folder)]
    subprocess.run([PYTHON, MAIN, *download], env=ENVIRONMENT, check=True, capture_output=True)
    copy_bundle(folder / "monaibundle" / "model" / "lungs")
    (folder / "studies").mkdir()
    shutil.copy(case / "fixed.nii.gz", folder / "studies" / "inhale.nii.gz")
    conf = {"models": "lungs", "zoo_source": "ngc", "sam2": "false", "skip_trainers": "true"}
    with serving(folder / "monaibundle", folder / "studies", **conf) as url:
        yield Served(url, f"{url}/infer/lungs?image=inhale", case)


def landmarks(case: Path) -> dict[str, str]:
    return {f"{key}_landmarks": str(case / f"{key}_landmarks.csv") for key in ("fixed", "moving")}


@pytest.fixture(scope="module")
def by_path(served: Served) -> Answer:
    """Default refinement, which needs the mask; landmarks too."""
    moving = str(served.case / "moving.nii.gz")
    answer = post(served.inhale, {"moving": moving, "spacing_mm": 4.0, **landmarks(served.case)})
    assert answer.status == 200
    return answer


@pytest.fixture(scope="module")
def run(served: Served, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same pair by the bundle's own run."""
    out = tmp_path_factory.mktemp("run")
    pair = {key: str(served.case / f"{key}.nii.gz") for key in ("fixed", "moving")} | landmarks(served.case)
    command = [sys.executable, "-m", "monai.bundle", "run", "inference", "--config_file", "configs/inference.json"]
    for key, value in {**pair, "output_dir": str(out), "spacing_mm": "4.0"}.items():
        command += [f"--{key}", value]
    subprocess.run(command, cwd=ROOT, env=ENVIRONMENT, check=True, capture_output=True)
    return out


def image(content: bytes, folder: Path, suffix: str = ".nii.gz") -> sitk.Image:
    file = folder / f"served{suffix}"
    file.write_bytes(content)
    return sitk.ReadImage(str(file))


def test_the_warped_scan_is_that_of_the_run_voxel_by_voxel(by_path: Answer, run: Path, tmp_path: Path) -> None:
    served = image(by_path.parts["image"], tmp_path)
    expected = sitk.ReadImage(str(run / "warped.nii.gz"))
    np.testing.assert_array_equal(sitk.GetArrayFromImage(served), sitk.GetArrayFromImage(expected))
    np.testing.assert_allclose(served.GetOrigin(), expected.GetOrigin(), atol=1e-4)
    np.testing.assert_allclose(served.GetDirection(), expected.GetDirection(), atol=1e-6)
    np.testing.assert_allclose(served.GetSpacing(), expected.GetSpacing())


def test_the_json_part_scores_the_pair_as_the_run_does(by_path: Answer, run: Path) -> None:
    report = json.loads((run / "report.json").read_text())
    untimed = report["scores"].keys() - {"time_s"}
    assert {key: by_path.json["scores"][key] for key in untimed} == {key: report["scores"][key] for key in untimed}
    assert {"tre_mm", "folding_percent"} <= untimed
    assert by_path.json["lncc"] == report["lncc"]


def test_the_json_part_says_where_the_field_is(by_path: Answer, run: Path) -> None:
    served = sitk.CompositeTransform(sitk.ReadTransform(by_path.json["files"]["transform.h5"]))
    expected = sitk.CompositeTransform(sitk.ReadTransform(str(run / "transform.h5")))
    for number in range(2):
        parameters = [t.GetNthTransform(number).GetParameters() for t in (served, expected)]
        np.testing.assert_array_equal(*parameters)
    assert by_path.json["files"].keys() == {path.name for path in run.iterdir()}


def test_two_posted_files_are_fixed_and_moving(served: Served, tmp_path: Path) -> None:
    files = {"file": served.case / "fixed.nii.gz", "label": served.case / "moving.nii.gz"}
    posted = post(f"{served.url}/infer/lungs?output=image", COARSE, **files)
    moving = str(served.case / "moving.nii.gz")
    by_path = post(f"{served.inhale}&output=image", {"moving": moving, "result_extension": ".nrrd", **COARSE})
    warped = [image(posted.parts[""], tmp_path), image(by_path.parts[""], tmp_path, ".nrrd")]
    np.testing.assert_array_equal(*map(sitk.GetArrayFromImage, warped))


def test_masks_and_an_initial_transform_are_parameters_too(served: Served, tmp_path: Path) -> None:
    masks = {f"{key}_mask": str(served.case / f"{key}_mask.nii.gz") for key in ("fixed", "moving")}
    sitk.WriteTransform(sitk.TranslationTransform(3, (1.0, 2.0, 25.0)), str(tmp_path / "shift.tfm"))
    params = {"moving": str(served.case / "moving.nii.gz"), "initial_transform": str(tmp_path / "shift.tfm")}
    answer = post(f"{served.inhale}&output=json", {**params, **masks, **COARSE})
    assert answer.status == 200
    np.testing.assert_allclose(np.array(answer.json["initial_affine_ras_mm"])[:3, 3], (-1.0, -2.0, 25.0))
    assert answer.json["lung_dice"]  # only of given masks


def test_clients_find_the_options_of_the_model(served: Served) -> None:
    config: dict[str, Any] = get(f"{served.url}/info/").json["models"]["lungs"]["config"]
    assert {key: config[key] for key in ("moving", "refine", "spacing_mm")} == {
        "moving": "",
        "refine": "field",
        "spacing_mm": 1.5,
    }


def test_what_is_wrong_with_a_request_reaches_the_client(served: Served, tmp_path: Path) -> None:
    whole = (served.case / "moving.nii.gz").read_bytes()
    (tmp_path / "cut.nii.gz").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "text.nii.gz").write_text("no image")
    flat = sitk.Image(8, 9, 10, sitk.sitkInt16)
    sitk.WriteImage(flat, str(tmp_path / "flat.mha"))
    moving = str(served.case / "moving.nii.gz")
    empty = str(tmp_path / "flat.mha")
    for params, message in [
        ({}, "moving: expected params="),
        ({"moving": str(tmp_path / "none.nii.gz")}, f"'moving' does not exist: {tmp_path / 'none.nii.gz'}"),
        ({"moving": str(tmp_path / "cut.nii.gz")}, f"{tmp_path / 'cut.nii.gz'}: truncated or damaged"),
        ({"moving": str(tmp_path / "text.nii.gz")}, f"{tmp_path / 'text.nii.gz'}: cannot be read as NIfTI"),
        ({"moving": str(tmp_path / "flat.mha")}, f"{tmp_path / 'flat.mha'}: constant image"),
        ({"moving": moving, "moving_mask": empty}, f"{empty}: "),
    ]:
        answer = post(served.inhale, params)
        assert answer.status == 400, params
        assert message in answer.json["detail"]
    answer = post(f"{served.url}/infer/lungs?image=unknown", {"moving": moving})
    assert (answer.status, answer.json["detail"][:6]) == (400, "image:")
