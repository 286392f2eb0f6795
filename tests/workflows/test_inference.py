"""Registration and evaluation with the weights of a training."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path

import pytest

from bundle.synthetic.phantom import make_phantom, write_dirlab_case
from tests.workflows.commands import run

pytestmark = pytest.mark.slow


def test_a_pairs_file_is_registered_into_one_folder_a_pair_and_goes_on_where_it_stopped(
    trained: tuple[Path, str], small_phantoms: Path, tmp_path: Path
) -> None:
    shutil.copytree(small_phantoms, tmp_path / "data")
    pairs = json.loads((small_phantoms / "pairs.json").read_text())
    one_each = {section: pairs[section][:1] for section in ("training", "validation", "test")}
    (tmp_path / "data" / "pairs.json").write_text(json.dumps(pairs | one_each))
    out, weights = tmp_path / "out", trained[0] / "model.pt"
    command = (
        "monai.bundle", "run", "inference", "--config_file", "configs/inference.json",
        "--pairs_file", tmp_path / "data" / "pairs.json", "--output_dir", out, "--weights", weights,
    )  # fmt: skip
    run(*command)
    names = {f"{section}_00" for section in one_each}
    assert {path.name for path in out.iterdir()} == {*names, "verdicts.csv"}
    report = json.loads((out / "test_00" / "report.json").read_text())
    assert report["scores"]["tre_none_mm"] > report["scores"]["tre_aligned_mm"]
    (out / "test_00" / "report.json").unlink()
    times = {name: (out / name / "report.json").stat().st_mtime_ns for name in names - {"test_00"}}
    assert "2 of 3 pairs are finished" in run(*command)
    assert (out / "test_00" / "report.json").exists()
    assert {name: (out / name / "report.json").stat().st_mtime_ns for name in times} == times


def test_a_dirlab_case_is_prepared_and_evaluated_beside_the_published_rows(
    trained: tuple[Path, str], tmp_path: Path
) -> None:
    write_dirlab_case(make_phantom(4, spacing_mm=(5.0, 5.0, 5.0)), tmp_path / "raw", 4)
    run("scripts.prepare_dirlab", "--source", tmp_path / "raw", "--out", tmp_path / "data")
    run(
        "monai.bundle", "run", "evaluate", "--config_file", "configs/evaluate.json",
        "--dataset_dir", tmp_path / "data", "--output_dir", tmp_path / "out", "--weights", trained[0] / "model.pt",
    )  # fmt: skip
    table = (tmp_path / "out" / "tre.md").read_text()
    for word in ("copd4", "held out", "observer", "pTVreg", "Snapped", "Continuous"):
        assert word in table
    (row,) = csv.DictReader((tmp_path / "out" / "tre.csv").open())
    assert row["name"] == "copd4"
    assert row["landmarks"] == "300"


def test_weights_of_a_training_are_evaluated_with_no_other_option_as_the_training_did(
    trained: tuple[Path, str], small_phantoms: Path, tmp_path: Path
) -> None:
    """The table that ends the training comes again, since the recipe holds network, grid and alignment."""
    out, _ = trained
    assert "held out" in (out / "tre.md").read_text()
    run(
        "monai.bundle", "run", "evaluate", "--config_file", "configs/evaluate.json", "--dataset_dir", small_phantoms,
        "--output_dir", tmp_path, "--weights", out / "model.pt", "--refine", "none", "--antisymmetric", "false",
    )  # fmt: skip
    expected, found = (json.loads((folder / "tre.json").read_text()) for folder in (out, tmp_path))
    assert found["weights"] == "held out"
    for case_found, case in zip(found["cases"], expected["cases"], strict=True):
        for key in ("name", "tre_aligned_mm", "tre_mm", "snapped_tre_mm"):
            assert case_found[key] == case[key]
    default = tmp_path / "default"
    run(
        "monai.bundle", "run", "evaluate", "--config_file", "configs/evaluate.json", "--dataset_dir", small_phantoms,
        "--output_dir", default, "--weights", out / "checkpoints" / "checkpoint_epoch=4.pt",
    )  # fmt: skip
    assert json.loads((default / "tre.json").read_text())["mean"]["tre_mm"] < found["mean"]["tre_mm"]


def test_weights_without_a_recipe_are_refused_at_once(
    trained: tuple[Path, str], small_phantoms: Path, tmp_path: Path
) -> None:
    shutil.copy(trained[0] / "model.pt", tmp_path / "bare.pt")
    printed = run(
        "monai.bundle", "run", "evaluate", "--config_file", "configs/evaluate.json", "--dataset_dir", small_phantoms,
        "--output_dir", tmp_path / "out", "--weights", tmp_path / "bare.pt", check=False,
    )  # fmt: skip
    assert f"{tmp_path / 'bare.pt'}: no recipe bare.json beside these weights" in printed
    assert not (tmp_path / "out").exists()


def test_a_side_too_small_for_four_levels_is_named(small_phantoms: Path, tmp_path: Path) -> None:
    case = small_phantoms / "test_00"
    printed = run(
        "monai.bundle", "run", "inference", "--config_file", "configs/inference.json",
        "--fixed", case / "fixed.nii.gz", "--moving", case / "moving.nii.gz",
        "--output_dir", tmp_path / "out", "--spatial_size", "[32,32,24]", check=False,
    )  # fmt: skip
    assert "multiples of 16" in printed
    assert "24" in printed
