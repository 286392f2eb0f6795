from __future__ import annotations

from pathlib import Path

import pytest

from scripts.benchmark.methods import CONFIG, METHODS, ROOT, Job, make_job


@pytest.fixture
def pair(tmp_path: Path) -> dict[str, str]:
    keys = ("fixed", "moving", "fixed_mask", "fixed_landmarks", "moving_landmarks", "initial_transform")
    for key in keys:
        (tmp_path / key).write_text(key)
    return {"name": "case"} | {key: str(tmp_path / key) for key in keys}


@pytest.fixture
def weights(tmp_path: Path) -> dict[str, str | None]:
    for key in ("rrn", "voxelmorph", "no_cost_volume"):
        (tmp_path / f"{key}.pt").write_text(key)
        (tmp_path / f"{key}.json").write_text(key)
    return {key: str(tmp_path / f"{key}.pt") for key in ("rrn", "voxelmorph", "no_cost_volume")}


def job_of(name: str, pair: dict[str, str], weights: dict[str, str | None], folder: Path = Path("/out")) -> Job:
    return make_job(name, pair, folder, weights=weights, tools_python="/tools/bin/python")


@pytest.mark.parametrize("name", [name for name in METHODS if name != "none"])
def test_a_method_is_told_the_scans_and_masks_but_no_landmarks(
    name: str, pair: dict[str, str], weights: dict[str, str | None]
) -> None:
    command = job_of(name, pair, weights).command
    for key in ("fixed", "moving", "fixed_mask"):
        assert command[command.index(f"--{key}") + 1] == pair[key]
    assert not {pair["fixed_landmarks"], pair["moving_landmarks"], pair["initial_transform"]} & set(command)
    assert "/out" in command


@pytest.mark.parametrize("name", ["rrn", "voxelmorph", "no_cost_volume"])
def test_a_network_runs_by_the_recipe_of_its_weights(
    name: str, pair: dict[str, str], weights: dict[str, str | None]
) -> None:
    command = job_of(name, pair, weights).command
    assert command[command.index("--config_file") + 1] == CONFIG
    assert (ROOT / CONFIG).is_file()
    assert command[command.index("--weights") + 1] == weights[name]


def test_settings_change_with_weights_scans_and_threads_but_not_with_the_folder(
    pair: dict[str, str], weights: dict[str, str | None]
) -> None:
    first = job_of("rrn", pair, weights).settings(pair, 1)
    assert job_of("rrn", pair, weights, Path("/elsewhere")).settings(pair, 1) == first
    assert job_of("rrn", pair, weights).settings(pair, 2) != first
    Path(str(weights["rrn"])).write_text("trained for longer")
    second = job_of("rrn", pair, weights).settings(pair, 1)
    assert second != first
    Path(pair["fixed"]).write_text("another scan")
    assert job_of("rrn", pair, weights).settings(pair, 1) != second


def test_options_of_a_pair_are_settings_and_no_files(pair: dict[str, str], weights: dict[str, str | None]) -> None:
    """Data sets that are written here state the system of their landmarks."""
    stated = [job_of("rrn", pair | {"landmark_system": one}, weights).settings(pair | {"landmark_system": one}, 1)
              for one in ("lps", "ras")]  # fmt: skip
    assert len({*stated, job_of("rrn", pair, weights).settings(pair, 1)}) == 3


def test_refinement_is_other_settings(pair: dict[str, str], weights: dict[str, str | None]) -> None:
    assert len({job_of(name, pair, weights).settings(pair, 1) for name in METHODS}) == len(METHODS)


def test_what_a_method_lacks_is_named(pair: dict[str, str], weights: dict[str, str | None]) -> None:
    with pytest.raises(ValueError, match=r"expected some of none, alignment, .*got 'demons'"):
        job_of("demons", pair, weights)
    with pytest.raises(ValueError, match="voxelmorph: expected a file with the weights of voxelmorph, got None"):
        job_of("voxelmorph", pair, weights | {"voxelmorph": None})
    Path(str(weights["rrn"])).with_suffix(".json").unlink()
    with pytest.raises(ValueError, match=r"rrn: expected the recipe rrn\.json beside .*rrn\.pt, found none"):
        job_of("rrn", pair, weights)
    with pytest.raises(ValueError, match=r"ants: --tools_python must name .*got None"):
        make_job("ants", pair, Path("/out"), weights=weights, tools_python=None)
