from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from bundle.hosts.label import LabelRequestd
from tests.conftest import SyntheticPair
from tests.formats.dicom.conftest import write_series

SHAPE = (4, 5, 6)


def prepare(pair: dict[str, str]) -> dict[str, Any]:
    return {**pair, "image": torch.zeros(2, *SHAPE), "mask_net": torch.ones(1, *SHAPE)}


@pytest.fixture
def item(synthetic_pair: Callable[..., SyntheticPair]) -> dict[str, str]:
    return synthetic_pair().item


def test_the_image_of_the_request_is_fixed_and_its_parameter_moving(item: dict[str, str], tmp_path: Path) -> None:
    request = {"image": item["fixed"], "moving": item["moving"], "label": "other.nii.gz", "model": "lungs"}
    pair = LabelRequestd(preprocessing=prepare, output_dir=tmp_path)(request)
    assert (pair["fixed"], pair["moving"], pair["model"]) == (item["fixed"], item["moving"], "lungs")


def test_a_posted_label_is_the_moving_scan(item: dict[str, str], tmp_path: Path) -> None:
    request = {"image": item["fixed"], "moving": "", "label": item["moving"]}
    assert LabelRequestd(preprocessing=prepare, output_dir=tmp_path)(request)["moving"] == item["moving"]


def test_what_belongs_to_the_pair_may_be_given_and_null_is_nothing(item: dict[str, str], tmp_path: Path) -> None:
    request = {**item, "image": item["fixed"], "fixed_landmarks": None}
    pair = LabelRequestd(preprocessing=prepare, output_dir=tmp_path)(request)
    given = ("fixed_mask", "moving_mask", "moving_landmarks", "initial_transform")
    assert {key: pair[key] for key in given} == {key: item[key] for key in given}
    assert "fixed_landmarks" not in pair


def test_the_landmark_system_may_be_given(item: dict[str, str], tmp_path: Path) -> None:
    request = {**item, "image": item["fixed"], "landmark_system": "lps"}
    assert LabelRequestd(preprocessing=prepare, output_dir=tmp_path)(request)["landmark_system"] == "lps"


def test_the_mask_is_the_third_channel(item: dict[str, str], tmp_path: Path) -> None:
    pair = LabelRequestd(preprocessing=prepare, output_dir=tmp_path)({"image": item["fixed"], "moving": item["moving"]})
    torch.testing.assert_close(pair["image"].amax(dim=(1, 2, 3)), torch.tensor([0.0, 0.0, 1.0]))


def test_every_request_writes_to_a_folder_of_its_own(item: dict[str, str], tmp_path: Path) -> None:
    transform = LabelRequestd(preprocessing=prepare, output_dir=tmp_path)
    folders = {transform({"image": item["fixed"], "moving": item["moving"]})["output_dir"] for _ in range(2)}
    assert folders == {str(folder) for folder in tmp_path.iterdir()}
    assert len(folders) == 2


@pytest.mark.parametrize(
    ("request_", "message"),
    [
        ({"image": "", "moving": "a.nii.gz"}, "image: expected an id of the datastore"),
        ({"image": "a.nii.gz"}, r"moving: expected params=.* or a file posted as label"),
        ({"image": __file__, "moving": "b.nii.gz"}, r"'moving' does not exist: .*b\.nii\.gz"),
    ],
)
def test_a_request_without_two_scans_is_refused(request_: dict[str, str], message: str, tmp_path: Path) -> None:
    with pytest.raises((FileNotFoundError, ValueError), match=message):
        LabelRequestd(preprocessing=prepare, output_dir=tmp_path)(request_)
    assert not list(tmp_path.iterdir())


def test_series_of_dicom_folders_are_parameters(tmp_path: Path) -> None:
    write_series(tmp_path / "disc" / "a", seed=1, SeriesDescription="inhale")
    write_series(tmp_path / "disc" / "b", seed=2, SeriesDescription="exhale")
    transform = LabelRequestd(preprocessing=prepare, output_dir=tmp_path / "out")
    request = {"image": str(tmp_path / "disc"), "moving": str(tmp_path / "disc"), "fixed_series": "inhale"}
    pair = transform({**request, "moving_series": "exhale"})
    assert (pair["fixed_series"], pair["moving_series"]) == ("inhale", "exhale")
    with pytest.raises(ValueError, match="expected one CT series, found 2; choose one by"):
        transform(request)
