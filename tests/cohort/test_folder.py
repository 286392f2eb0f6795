from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from bundle import __version__
from bundle.cohort.folder import CONTRACT, check_apart, claim, contract_of, emptied, finished_rows, remove_results


@pytest.fixture(scope="module")
def contract() -> dict[str, Any]:
    return contract_of({"spacing_mm": 3.0, "write": ["displacement"]})


def write_report(folder: Path, contract: dict[str, Any], files: dict[str, str], **changes: Any) -> None:
    report = {
        "name": folder.name,
        "verdict": "ok",
        "reasons": [],
        "scores": {"time_s": 7.5, "tre_mm": 0.5, "folding_percent": 0.0},
        "lncc": {"registered": 0.7},
        "files": files,
        "settings": contract["settings"] | {"margin_mm": 10.0},
        "weights": {"sha256": contract["weights_sha256"]},
        "versions": {"bundle": contract["version"], "numpy": "2"},
    }
    folder.mkdir()
    (folder / "report.json").write_text(json.dumps(report | changes))


def test_the_contract_holds_version_weights_and_resolved_settings(contract: dict[str, Any]) -> None:
    recipe = json.loads((Path(__file__).parents[2] / "models" / "model.json").read_text())
    assert (contract["version"], contract["weights_sha256"]) == (__version__, recipe["weights_sha256"])
    settings = {"refine": "field", "spacing_mm": 3.0, "network_spacing_mm": recipe["network_spacing_mm"]}
    assert settings.items() <= contract["settings"].items()
    assert contract["results"] == {"write": ["displacement"], "maps": [], "smooth_mm": 4.0}


@pytest.mark.parametrize("name", ["spacing_mm", "network_spacing_mm"])
def test_voxels_beyond_the_limits_make_no_contract(name: str) -> None:
    with pytest.raises(ValueError, match=rf"^{name}: expected [\d.]+ to 10 mm, got 900$"):
        contract_of({name: 900})


def test_a_folder_is_claimed_once(contract: dict[str, Any], tmp_path: Path) -> None:
    claim(tmp_path, [], contract, overwrite=False)
    claim(tmp_path, [], contract, overwrite=False)
    other = contract_of({"spacing_mm": 3.0})
    with pytest.raises(ValueError, match=r"cohort\.json: expected write \[\], found \['displacement'\]; name another"):
        claim(tmp_path, [], other, overwrite=False)
    claim(tmp_path, [], other, overwrite=True)
    assert json.loads((tmp_path / CONTRACT).read_text()) == other


def test_results_of_another_program_are_not_claimed(contract: dict[str, Any], tmp_path: Path) -> None:
    pair = {"name": "a", "fixed": "/f.nii", "moving": "/m.nii"}
    write_report(tmp_path / "a", contract, {"fixed": "/f.nii", "moving": "/m.nii"}, weights={"sha256": "other"})
    with pytest.raises(ValueError, match=r"a/report\.json: expected weights_sha256 \w+, found other; name another"):
        claim(tmp_path, [pair], contract, overwrite=False)
    assert not (tmp_path / CONTRACT).exists()


def test_pairs_with_a_report_are_finished(contract: dict[str, Any], tmp_path: Path) -> None:
    pairs = [{"name": name, "fixed": "/f.nii", "moving": "/m.nii"} for name in ("done", "half", "none")]
    write_report(tmp_path / "done", contract, {"fixed": "/f.nii", "moving": "/m.nii"}, name="as the file")
    (tmp_path / "half").mkdir()
    (row,) = finished_rows(tmp_path, pairs, contract)
    assert (row["name"], row["verdict"], row["tre_mm"], row["lncc"]) == ("done", "ok", 0.5, 0.7)


def test_a_report_of_another_program_is_refused(contract: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "report.json").write_text('{"kind": "another"}')
    with pytest.raises(ValueError, match=r"a/report\.json: expected the report of a registration of this version"):
        finished_rows(tmp_path, [{"name": "a", "fixed": "f", "moving": "m"}], contract)


def test_a_finished_pair_with_other_settings_is_refused(contract: dict[str, Any], tmp_path: Path) -> None:
    files = {"fixed": "/f.nii", "moving": "/m.nii"}
    write_report(tmp_path / "a", contract, files, settings=contract["settings"] | {"refine": "none"})
    with pytest.raises(ValueError, match=r"a/report\.json: expected refine field, found none; name another"):
        finished_rows(tmp_path, [{"name": "a", **files}], contract)


def test_results_that_are_registered_again_are_removed_and_no_others(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "report.json").touch()
        (tmp_path / name / "warped.nii.gz").touch()
    remove_results(tmp_path, [{"name": "a"}, {"name": "new"}])
    assert [path.name for path in tmp_path.iterdir()] == ["b"]
    assert len([*(tmp_path / "b").iterdir()]) == 2


def test_what_stopped_runs_left_is_removed_before_and_after(tmp_path: Path) -> None:
    def run_and_stop() -> None:
        with emptied(tmp_path):
            assert not any(tmp_path.iterdir())
            (tmp_path / "of this run" / "part").mkdir(parents=True)
            raise KeyboardInterrupt

    (tmp_path / "of a killed run" / "part").mkdir(parents=True)
    with pytest.raises(KeyboardInterrupt):
        run_and_stop()
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize("key", ["fixed", "moving_mask"])
def test_files_of_a_pair_in_the_folder_of_a_result_are_refused(key: str, tmp_path: Path) -> None:
    out, scan = tmp_path / "out", str(tmp_path / "way" / "a" / "scan.nii")
    pairs = [{"name": "b", "fixed": "/f.nii", "moving": "/m.nii"}, {"name": "a", "fixed": "/f.nii", "moving": "/m.nii"}]
    (out / "a").mkdir(parents=True)
    (tmp_path / "way").symlink_to(out)
    check_apart(out, [*pairs, {"name": "c", "fixed": str(out / "scans" / "a" / "c.nii"), "moving": str(out / "a.nii")}])
    with pytest.raises(ValueError, match=r"^pair 'b': .*/way/a/scan\.nii: lies in the folder of a result, which repl"):
        check_apart(out, [pairs[0] | {key: scan}, pairs[1]])
