from __future__ import annotations

import json
import tempfile
from pathlib import Path

import numpy as np
import pytest

from bundle.data import check_pairs, read_pairs
from bundle.io import check_header, read_displacement, read_image, read_landmarks_mm
from bundle.io.displacement import PRECISION_MM
from bundle.synthetic.dataset import FILES, RECORD
from bundle.synthetic.phantom import dataset, make_phantom, phantom_dir, write_phantoms

SPACING_MM = (10.0, 9.0, 11.0)


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("phantoms")
    return write_phantoms(directory, num_training=2, num_validation=1, num_test=1, seed=3, spacing_mm=SPACING_MM)


def times(directory: Path) -> dict[str, int]:
    return {path.parent.name: path.stat().st_mtime_ns for path in directory.glob("*/fixed.nii.gz")}


def test_the_pairs_file_lists_every_case_with_files_that_exist(written: Path) -> None:
    pairs = json.loads(written.read_text())
    assert {section: [item["name"] for item in items] for section, items in pairs.items()} == {
        "training": ["training_00", "training_01"],
        "validation": ["validation_00"],
        "test": ["test_00"],
    }
    for item in (item for items in pairs.values() for item in items):
        assert set(item) == {"name", "landmark_system", *FILES}
        assert all((written.parent / item[key]).is_file() for key in FILES)
    assert len(check_pairs(read_pairs(written.parent, section="training"))) == 2


def test_files_hold_the_case(written: Path) -> None:
    folder = written.parent / "test_00"
    case = make_phantom(json.loads((folder / RECORD).read_text())["made_from"]["seed"], spacing_mm=SPACING_MM)
    image = read_image(folder / "moving.nii.gz")
    np.testing.assert_array_equal(image[0].numpy(), case.moving)
    np.testing.assert_allclose(image.affine.numpy(), case.moving_affine, atol=1e-4)
    field, affine = read_displacement(folder / "displacement.nii.gz")
    np.testing.assert_allclose(field.numpy(), case.displacement_mm, atol=PRECISION_MM / 2 + 1e-5)
    np.testing.assert_allclose(affine.numpy(), case.fixed_affine, atol=1e-4)
    points = read_landmarks_mm(folder / "moving_landmarks.csv", check_header(folder / "moving.nii.gz"))
    np.testing.assert_allclose(points.numpy(), case.moving_landmarks_mm, atol=1e-5)


def test_cases_differ_from_each_other(written: Path) -> None:
    seeds = [json.loads(path.read_text())["made_from"]["seed"] for path in written.parent.glob(f"*/{RECORD}")]
    assert len(set(seeds)) == 4


def test_the_cache_folder_is_made_once_and_depends_on_the_arguments(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LUNG_REGISTRATION_CACHE", str(tmp_path))
    first = phantom_dir(num_training=1, num_validation=0, num_test=0, spacing_mm=SPACING_MM)
    before = times(Path(first))
    again = phantom_dir(num_training=1, num_validation=0, num_test=0, spacing_mm=SPACING_MM)
    assert again == first
    assert times(Path(again)) == before
    assert (Path(first) / "pairs.json").is_file()
    assert Path(first).parent == tmp_path
    other = phantom_dir(num_training=0, num_validation=0, num_test=0, spacing_mm=SPACING_MM)
    assert other != first


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({"LUNG_REGISTRATION_CACHE": "/a/own", "XDG_CACHE_HOME": "/b"}, "/a/own"),
        ({"XDG_CACHE_HOME": "/b"}, "/b/lung_registration"),
        ({"HOME": "/c"}, "/c/.cache/lung_registration"),
    ],
)
def test_the_cache_folder_follows_the_environment(
    variables: dict[str, str], expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("LUNG_REGISTRATION_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr("os.access", lambda path, mode: True)
    assert dataset.cache_dir() == Path(expected)


def test_a_cache_that_cannot_be_written_falls_back_to_temporary_files_with_a_message(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.delenv("LUNG_REGISTRATION_CACHE", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "home"))
    assert dataset.cache_dir() == tmp_path / "home" / "lung_registration"
    monkeypatch.setattr("os.access", lambda path, mode: False)  # root may write everywhere
    assert dataset.cache_dir().name.startswith("lung_registration-")
    assert f"{tmp_path / 'home' / 'lung_registration'}: the cache cannot be written; using " in caplog.text


def test_without_a_home_the_cache_is_in_temporary_files(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in containers whose user has no entry and no HOME: Path.home() raises."""
    for name in ("LUNG_REGISTRATION_CACHE", "XDG_CACHE_HOME", "HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("os.path.expanduser", lambda path: path)
    assert dataset.cache_dir().parent == Path(tempfile.gettempdir())


def test_a_complete_data_set_is_used_where_nothing_can_be_written(
    written: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise PermissionError

    monkeypatch.setattr("tempfile.mkdtemp", refuse)
    again = write_phantoms(written.parent, num_training=2, num_validation=1, num_test=1, seed=3, spacing_mm=SPACING_MM)
    assert again == written
