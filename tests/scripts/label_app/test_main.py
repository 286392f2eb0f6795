"""Our app in a real MONAI Label server."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from tests.hosts.label_server import COARSE, copy_bundle, get, needs_label, post, serving

pytestmark = [pytest.mark.slow, needs_label]
INFER = "infer/lung_registration"


@pytest.fixture(scope="module")
def studies(small_phantoms: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("studies")
    for key in ("fixed", "moving"):
        shutil.copy(small_phantoms / "test_00" / f"{key}.nii.gz", folder / f"patient1_{key}.nii.gz")
    return folder


@pytest.fixture(scope="module")
def url(studies: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    bundle = tmp_path_factory.mktemp("bundle")
    copy_bundle(bundle)
    with serving(bundle / "scripts" / "label_app", studies) as address:
        yield address


def test_two_ids_of_the_datastore_give_a_warped_scan_and_a_field_to_download(
    url: str, studies: Path, tmp_path: Path
) -> None:
    answer = post(f"{url}/{INFER}?image=patient1_fixed", {"moving": "patient1_moving", **COARSE})
    assert answer.status == 200
    tag = answer.json["displacement_tag"]
    assert tag == "displacement_patient1_moving"
    field = get(f"{url}/datastore/label?label=patient1_fixed&tag={tag}")
    for name, content in (("warped", answer.parts["image"]), ("field", field.parts[""])):
        (tmp_path / f"{name}.nii.gz").write_bytes(content)
    scans = [sitk.ReadImage(str(studies / f"patient1_{key}.nii.gz")) for key in ("moving", "fixed")]
    displacement = sitk.ReadImage(str(tmp_path / "field.nii.gz"), sitk.sitkVectorFloat64)
    theirs = sitk.Resample(*scans, sitk.DisplacementFieldTransform(displacement), sitk.sitkLinear, -1000.0)
    difference = sitk.GetArrayFromImage(theirs).astype(float) - sitk.GetArrayFromImage(
        sitk.ReadImage(str(tmp_path / "warped.nii.gz"))
    )
    assert np.abs(difference).mean() < 2.0  # of a scan that spans 2000 HU


def test_scans_outside_the_datastore_are_registered_but_not_kept_in_it(url: str, small_phantoms: Path) -> None:
    case = small_phantoms / "test_00"
    files = {"file": case / "fixed.nii.gz", "label": case / "moving.nii.gz"}
    answer = post(f"{url}/{INFER}?output=json", COARSE, **files)
    assert answer.status == 200
    assert Path(answer.json["files"]["transform.h5"]).is_file()
    assert "displacement_tag" not in answer.json


def test_an_unknown_id_is_named(url: str) -> None:
    answer = post(f"{url}/{INFER}?image=patient1_fixed", {"moving": "patient2_moving"})
    assert answer.status == 400
    assert "patient2_moving" in answer.json["detail"]
