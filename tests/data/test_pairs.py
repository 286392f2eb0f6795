import json
from pathlib import Path

import numpy as np
import pytest
import torch

from bundle.data import PairFiles, check_pairs, make_pair, read_pairs
from bundle.io import write_image
from tests.formats.dicom.conftest import write_series

ITEM = {"name": "a", "fixed": "a/fixed.nii.gz", "moving": "a/moving.nii.gz"}
GRID = torch.diag(torch.tensor([1.0, 1.5, 2.5, 1.0]))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two pairs of scans, on grids of their own, with masks and landmarks."""
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        for key, shape in (("fixed", (8, 9, 10)), ("moving", (7, 8, 9))):
            voxels = np.random.default_rng(0).integers(-1000, 0, shape)
            write_image(tmp_path / name / f"{key}.nii.gz", voxels, GRID, dtype=np.int16)
            write_image(tmp_path / name / f"{key}_mask.nii.gz", voxels > -500, GRID, dtype=np.uint8)
            (tmp_path / name / f"{key}_dirlab.txt").write_text("1 1 1\n2 3 4\n")
    return tmp_path


def full_item(name: str) -> dict[str, str]:
    item = {"name": name}
    for key in ("fixed", "moving"):
        item |= {key: f"{name}/{key}.nii.gz", f"{key}_mask": f"{name}/{key}_mask.nii.gz"}
        item |= {f"{key}_landmarks": f"{name}/{key}_dirlab.txt"}
    return item


def write(folder: Path, content: object) -> Path:
    (folder / "pairs.json").write_text(content if isinstance(content, str) else json.dumps(content))
    return folder


def test_paths_are_relative_to_the_file_and_come_back_absolute(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(folder, {"training": [ITEM], "test": [full_item("b")], "name": "mine", "numTest": 1})
    monkeypatch.chdir("/")
    (pair,) = read_pairs(folder, section="training")
    assert pair == {"name": "a", "fixed": str(folder / "a/fixed.nii.gz"), "moving": str(folder / "a/moving.nii.gz")}
    pairs = read_pairs(folder / "pairs.json", section=("training", "test"))
    assert [pair["name"] for pair in pairs] == ["a", "b"]
    assert pairs[1]["moving_mask"] == str(folder / "b/moving_mask.nii.gz")
    assert check_pairs(pairs) == pairs


def test_pairs_of_several_folders_are_told_apart_by_the_folder(
    folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    write(folder, {"training": [ITEM]})
    other = tmp_path_factory.mktemp("other")
    absolute = ITEM | {key: str(folder / ITEM[key]) for key in ("fixed", "moving")}
    write(other, {"training": [absolute]})
    pairs = read_pairs([folder, other], section="training")
    assert [pair["name"] for pair in pairs] == [f"{folder.name}_a", f"{other.name}_a"]
    assert pairs[0]["fixed"] == pairs[1]["fixed"] == str(folder / "a/fixed.nii.gz")


@pytest.mark.parametrize("name", ["none", "a"])
def test_a_missing_dataset_says_how_to_get_dirlab_and_how_to_do_without(folder: Path, name: str) -> None:
    with pytest.raises(
        FileNotFoundError,
        match=r"(no such folder|no pairs\.json).*DIR-Lab is free.*prepare_dirlab.*leave dataset_dir out",
    ):
        read_pairs(folder / name, section="test")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('{"test": [\n  {"name": "a",}\n]}', r"pairs\.json, line 2: malformed JSON: "),
        ([ITEM], r"pairs\.json: expected an object with lists training, validation, test, got a list"),
        ({"train": [ITEM], "test": []}, r"pairs\.json: no pairs in 'test'; sections with pairs: train \(1\)"),
        ({}, r"no pairs in 'test'; sections with pairs: none"),
        ({"test": "a"}, r"pairs\.json: 'test' must be a list of pairs, got 'a'"),
        ({"test": ["a"]}, r"pairs\.json: test\[0\]: expected an object with name, fixed, moving, got 'a'"),
        (
            {"test": [ITEM | {"fixed_lankmarks": "x"}]},
            r"test\[0\] \(a\): unknown key 'fixed_lankmarks', expected one of",
        ),
        ({"test": [{"name": "a", "fixed": "x"}]}, r"test\[0\] \(a\): missing key 'moving'"),
        ({"test": [{"fixed": "x", "moving": "y"}]}, r"test\[0\]: missing key 'name'"),
        ({"test": [ITEM | {"fixed_mask": None}]}, r"\(a\): 'fixed_mask' must be a non-empty text, got None"),
        ({"test": [ITEM | {"name": "../a"}]}, r"the name becomes a folder and cannot hold '/'"),
        ({"test": [ITEM, ITEM]}, r"expected a different name for every pair, used more than once: a"),
    ],
)
def test_a_malformed_pairs_file_is_refused(folder: Path, content: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        read_pairs(write(folder, content), section="test")


def test_a_missing_path_is_named_with_its_item_and_key(folder: Path) -> None:
    write(folder, {"test": [ITEM, ITEM | {"name": "c", "moving": "c/moving.nii.gz"}]})
    with pytest.raises(FileNotFoundError, match=r"test\[1\] \(c\): 'moving' does not exist: .*c/moving\.nii\.gz"):
        read_pairs(folder, section="test")
    *_, gone = read_pairs(folder, section="test", missing_ok=True)  # a cohort goes on without it
    assert (gone["name"], gone["moving"]) == ("c", str(folder / "c/moving.nii.gz"))


def test_one_pair_is_made_from_paths_of_the_working_folder(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder / "a")
    pair = make_pair(
        PairFiles(fixed="fixed.nii.gz", moving=folder / "b/moving.nii.gz", fixed_landmarks="fixed_dirlab.txt")
    )
    assert pair == {
        "name": "fixed",
        "fixed": str(folder / "a/fixed.nii.gz"),
        "moving": str(folder / "b/moving.nii.gz"),
        "fixed_landmarks": str(folder / "a/fixed_dirlab.txt"),
    }
    with pytest.raises(FileNotFoundError, match=r"pair \(fixed\): 'moving_mask' does not exist: .*none\.mha"):
        make_pair(PairFiles(fixed="fixed.nii.gz", moving="moving.nii.gz", moving_mask="none.mha"))


def test_a_mask_in_another_place_is_refused(folder: Path) -> None:
    (pair,) = read_pairs(write(folder, {"test": [full_item("a")]}), section="test")
    far = GRID.clone()
    far[2, 3] = 600.0
    write_image(folder / "far.nii.gz", np.ones((7, 8, 9)), far, dtype=np.uint8)
    message = (
        r"pair 'a': .*far\.nii\.gz: the mask lies in another place than its scan .*fixed\.nii\.gz.*z 600\.0 to 620\.0"
    )
    with pytest.raises(ValueError, match=message):
        check_pairs([pair | {"fixed_mask": str(folder / "far.nii.gz")}])
    assert check_pairs([pair | {"fixed_mask": pair["moving_mask"]}])  # a part of the scan


def test_landmark_counts_that_differ_are_refused(folder: Path) -> None:
    (folder / "a/moving_dirlab.txt").write_text("1 1 1\n")
    write(folder, {"test": [full_item("a")]})
    with pytest.raises(ValueError, match=r"pair 'a': .*fixed_dirlab\.txt holds 2, .*moving_dirlab\.txt holds 1"):
        check_pairs(read_pairs(folder, section="test"))


def test_all_broken_pairs_are_reported_at_once(folder: Path) -> None:
    (folder / "a/fixed_dirlab.txt").write_text("1 1 99\n2 3 4\n")
    (folder / "b/moving.nii.gz").write_bytes((folder / "b/moving.nii.gz").read_bytes()[:300])
    pairs = read_pairs(write(folder, {"test": [full_item("a"), full_item("b")]}), section="test")
    with pytest.raises(
        ValueError,
        match=r"2 of 2 pairs cannot be used:\npair 'a': .*1 of 2 landmarks lie outside(?s:.*)pair 'b': .*truncated",
    ):
        check_pairs(pairs)


def test_a_scan_that_vanished_is_reported_as_missing(folder: Path) -> None:
    pairs = read_pairs(write(folder, {"test": [ITEM]}), section="test")
    (folder / "a/fixed.nii.gz").unlink()
    with pytest.raises(FileNotFoundError, match=r"pair 'a': .*fixed\.nii\.gz: no such file"):
        check_pairs(pairs)


def test_a_series_of_a_dicom_folder_is_chosen_by_the_pair(tmp_path: Path) -> None:
    write_series(tmp_path / "disc" / "a", seed=1, SeriesDescription="inhale")
    write_series(tmp_path / "disc" / "b", seed=2, SeriesDescription="exhale")
    item = {"name": "a", "fixed": "disc", "moving": "disc", "fixed_series": "inhale", "moving_series": "exhale"}
    (tmp_path / "pairs.json").write_text(json.dumps({"test": [item]}))
    pairs = read_pairs(tmp_path, section="test")
    assert check_pairs(pairs) == pairs
    assert (pairs[0]["fixed_series"], pairs[0]["moving_series"]) == ("inhale", "exhale")
    files = PairFiles(fixed=tmp_path / "disc", moving=tmp_path / "disc", fixed_series="inhale", moving_series="hale")
    with pytest.raises(ValueError, match=r"pair 'disc': .*disc: expected one volume for series 'hale', found 2"):
        check_pairs([make_pair(files)])


def test_links_keep_the_names_the_user_gave(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As in the caches of Hugging Face, DVC and git-annex, which name the files by their content."""
    blobs, view = folder / "blobs", folder / "view"
    blobs.mkdir(), view.mkdir()
    write(
        folder,
        {"test": [{"name": "a", "fixed": "fixed.nii.gz", "moving": "moving.nii.gz", "fixed_mask": "mask.nii.gz"}]},
    )
    files = {
        "fixed.nii.gz": "a/fixed",
        "moving.nii.gz": "a/moving",
        "mask.nii.gz": "a/fixed_mask",
        "pairs.json": "pairs",
    }
    for number, (name, source) in enumerate(files.items()):
        (folder / f"{source}{''.join(Path(name).suffixes)}").rename(blobs / f"5f3a{number}")
        (view / name).symlink_to(Path("..") / "blobs" / f"5f3a{number}")
    (pair,) = check_pairs(read_pairs(view, section="test"))
    assert pair["fixed"] == str(view / "fixed.nii.gz")
    monkeypatch.chdir(view)
    pair = make_pair(PairFiles(fixed="fixed.nii.gz", moving="moving.nii.gz"))
    assert (pair["name"], pair["moving"]) == ("fixed", str(view / "moving.nii.gz"))
    assert check_pairs([pair])


def test_the_landmark_system_of_an_item_is_used_and_checked(folder: Path) -> None:
    for key in ("fixed", "moving"):
        (folder / f"a/{key}.txt").write_text("0 0 0\n1 2 3\n")
    item = full_item("a") | {f"{key}_landmarks": f"a/{key}.txt" for key in ("fixed", "moving")}
    with pytest.raises(ValueError, match=r"fixed\.txt: expected DIR-Lab's voxels, .*--landmark_system dirlab"):
        check_pairs(read_pairs(write(folder, {"test": [item]}), section="test"))
    (pair,) = read_pairs(write(folder, {"test": [item | {"landmark_system": "voxel0"}]}), section="test")
    assert check_pairs([pair]) == [pair]
    with pytest.raises(ValueError, match="landmark_system: expected one of dirlab, voxel0, lps, ras, got 'LPS'"):
        read_pairs(write(folder, {"test": [item | {"landmark_system": "LPS"}]}), section="test")
