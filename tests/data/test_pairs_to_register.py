from __future__ import annotations

import json
import logging
import os
from collections.abc import Callable
from pathlib import Path

import pytest
import SimpleITK as sitk
import torch

from bundle.data import PairFiles, pairs_to_register
from tests.grids import make_affine, to_sitk

SHAPE = (6, 7, 8)
NAMES = {"training": ["a"], "validation": ["b"], "test": ["c", "d"]}


@pytest.fixture
def scan(tmp_path: Path) -> Callable[[str], Path]:
    """Write a small scan."""

    def write(name: str) -> Path:
        voxels = torch.rand(SHAPE, generator=torch.Generator().manual_seed(0)) * 1000 - 900
        sitk.WriteImage(to_sitk(voxels, make_affine(SHAPE, (2.0, 3.0, 4.0))), tmp_path / name)
        return tmp_path / name

    return write


@pytest.fixture
def pairs_file(tmp_path: Path, scan: Callable[[str], Path]) -> Path:
    """Four pairs in three sections."""
    scan("inhale.nrrd"), scan("exhale.nrrd")
    sections = {
        section: [{"name": name, "fixed": "inhale.nrrd", "moving": "exhale.nrrd"} for name in names]
        for section, names in NAMES.items()
    }
    (tmp_path / "pairs.json").write_text(json.dumps(sections))
    return tmp_path / "pairs.json"


def finish(folder: Path) -> None:
    folder.mkdir(parents=True)
    (folder / "report.json").write_text("{}")


# A single pair


def test_a_single_pair_writes_into_the_output_folder_itself(scan: Callable[[str], Path], tmp_path: Path) -> None:
    fixed, moving, out = scan("inhale.nii.gz"), scan("exhale.mha"), tmp_path / "new" / "out"
    pairs = pairs_to_register(output_dir=out, pair=PairFiles(fixed=fixed, moving=moving))
    files = {"fixed": str(fixed), "moving": str(moving)}
    assert json.loads(pairs[0].pop("given")) == files
    assert pairs == [{"name": "inhale", "output_dir": str(out), **files}]
    assert out.is_dir()


def test_a_single_pair_brings_what_belongs_to_it(scan: Callable[[str], Path], tmp_path: Path) -> None:
    (tmp_path / "points.csv").write_text("x,y,z\n-1.5,0.5,1.5\n")
    sitk.WriteTransform(sitk.TranslationTransform(3), tmp_path / "initial.tfm")
    given = {
        "fixed": scan("f.nrrd"),
        "moving": scan("m.nrrd"),
        "fixed_mask": scan("fm.nrrd"),
        "moving_mask": scan("mm.nrrd"),
        "fixed_landmarks": tmp_path / "points.csv",
        "moving_landmarks": tmp_path / "points.csv",
        "initial_transform": tmp_path / "initial.tfm",
    }
    (pair,) = pairs_to_register(output_dir=tmp_path / "out", pair=PairFiles(**given))
    assert {key: pair[key] for key in given} == {key: str(path) for key, path in given.items()}


def test_a_single_pair_is_registered_again_whenever_it_is_asked_for(
    scan: Callable[[str], Path], tmp_path: Path
) -> None:
    finish(tmp_path / "out")
    assert (
        len(pairs_to_register(output_dir=tmp_path / "out", pair=PairFiles(fixed=scan("f.nrrd"), moving=scan("m.nrrd"))))
        == 1
    )


# A file of pairs


def test_the_pairs_of_all_sections_get_a_folder_per_name(pairs_file: Path, tmp_path: Path) -> None:
    pairs = pairs_to_register(output_dir=tmp_path / "out", pairs_file=pairs_file)
    assert [pair["name"] for pair in pairs] == ["a", "b", "c", "d"]
    assert [pair["output_dir"] for pair in pairs] == [str(tmp_path / "out" / name) for name in "abcd"]
    assert pairs_to_register(output_dir=tmp_path / "out", pairs_file=pairs_file.parent) == pairs  # a folder will do


def test_an_interrupted_run_goes_on_with_what_is_not_finished(
    pairs_file: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    out = tmp_path / "out"
    finish(out / "a")
    finish(out / "c")
    (out / "d").mkdir()
    (out / "d" / "warped.nii.gz").write_text("cut off before its report")
    with caplog.at_level(logging.INFO):
        pairs = pairs_to_register(output_dir=out, pairs_file=pairs_file)
    assert [pair["name"] for pair in pairs] == ["b", "d"]
    assert f"{out}: 2 of 4 pairs are finished" in caplog.text


def test_overwriting_registers_all_of_them_again(pairs_file: Path, tmp_path: Path) -> None:
    finish(tmp_path / "out" / "a")
    assert len(pairs_to_register(output_dir=tmp_path / "out", pairs_file=pairs_file, overwrite=True)) == 4


def test_a_finished_run_leaves_nothing_to_do(pairs_file: Path, tmp_path: Path) -> None:
    for name in "abcd":
        finish(tmp_path / "out" / name)
    assert pairs_to_register(output_dir=tmp_path / "out", pairs_file=pairs_file) == []


def test_the_landmark_system_of_the_command_is_the_default_of_the_pairs(pairs_file: Path, tmp_path: Path) -> None:
    sections = json.loads(pairs_file.read_text())
    sections["test"][0]["landmark_system"] = "dirlab"
    pairs_file.write_text(json.dumps(sections))
    pairs = pairs_to_register(output_dir=tmp_path / "out", pairs_file=pairs_file, pair=PairFiles(landmark_system="lps"))
    assert [pair["landmark_system"] for pair in pairs] == ["lps", "lps", "dirlab", "lps"]


# Errors, before any scan is read


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"fixed": "inhale.nrrd"},
        {"moving": "exhale.nrrd"},
        {"pairs_file": "pairs.json", "fixed": "inhale.nrrd", "moving": "exhale.nrrd"},
        {"pairs_file": "pairs.json", "fixed": "inhale.nrrd"},
        {"pairs_file": "pairs.json", "fixed_landmarks": "points.csv"},
    ],
    ids=["neither", "fixed alone", "moving alone", "both", "half of both", "landmarks beside a file"],
)
def test_neither_or_both_ways_are_an_error(given: dict[str, str], pairs_file: Path, tmp_path: Path) -> None:
    paths = {key: str(tmp_path / name) for key, name in given.items()}
    file = paths.pop("pairs_file", None)
    with pytest.raises(ValueError, match=r"expected either --fixed and --moving .* or --pairs_file"):
        pairs_to_register(output_dir=tmp_path / "out", pairs_file=file, pair=PairFiles(**paths))
    assert not (tmp_path / "out").exists()


def test_a_broken_scan_is_named_and_leaves_no_folder(pairs_file: Path, tmp_path: Path) -> None:
    (tmp_path / "exhale.nrrd").write_text("not an image")
    with pytest.raises(ValueError, match=r"(?s)4 of 4 pairs cannot be used.*pair 'a': .*exhale\.nrrd"):
        pairs_to_register(output_dir=tmp_path / "out", pairs_file=pairs_file)
    assert not (tmp_path / "out").exists()


def test_a_file_in_the_place_of_the_output_folder_is_named(scan: Callable[[str], Path], tmp_path: Path) -> None:
    (tmp_path / "out").write_text("a file")
    with pytest.raises(NotADirectoryError, match=r"out: the output folder cannot be created: File exists"):
        pairs_to_register(output_dir=tmp_path / "out", pair=PairFiles(fixed=scan("f.nrrd"), moving=scan("m.nrrd")))
    with pytest.raises(NotADirectoryError, match=r"out/deep: the output folder cannot be created: Not a directory"):
        pairs_to_register(
            output_dir=tmp_path / "out" / "deep", pair=PairFiles(fixed=scan("f.nrrd"), moving=scan("m.nrrd"))
        )


def test_a_file_in_the_place_of_a_pairs_folder_is_named(pairs_file: Path, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "c").write_text("a file")
    with pytest.raises(NotADirectoryError, match=r"out/c: the output folder cannot be created"):
        pairs_to_register(output_dir=tmp_path / "out", pairs_file=pairs_file)


def test_a_folder_without_permission_is_named(
    scan: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "access", lambda path, mode: False)  # root may write everywhere
    with pytest.raises(PermissionError, match=r"out: the output folder is not writable"):
        pairs_to_register(output_dir=tmp_path / "out", pair=PairFiles(fixed=scan("f.nrrd"), moving=scan("m.nrrd")))
