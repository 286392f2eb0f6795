from __future__ import annotations

import csv
import json
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from bundle.io import write_image, write_landmarks_csv
from bundle.io.atomic import locked_folder
from bundle.series import members_of_files, register_series
from bundle.series.results import RESULTS
from bundle.series.run import lung_volumes_ml
from bundle.synthetic.phantom.cycle import PhantomPhase, phantom_cycle
from tests.series.chests import COARSE, LIFTS_MM, SHAPE, grid_of, write_chest, write_water

DATA = Path(__file__).parents[3] / "shared" / "data" / "4dct"


@pytest.fixture(scope="module")
def scans(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Four phases and a scan without lungs."""
    folder = tmp_path_factory.mktemp("scans")
    return [
        *(write_chest(folder / f"p{number}.nii.gz", number) for number in range(4)),
        write_water(folder / "water.nii.gz"),
    ]


@pytest.fixture(scope="module")
def finished(scans: list[Path], tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    folder = tmp_path_factory.mktemp("out")
    return folder, register_series(members_of_files(scans), folder, transitivity=1, options=COARSE)


def test_everything_is_written_and_listed(finished: tuple[Path, dict[str, Any]]) -> None:
    folder, report = finished
    assert {path.name for path in folder.iterdir() if path.name != "water"} == {  # empty, and removed at the end
        *RESULTS,
        "series.json",
        "series.csv",
        "direct",
        *(name for name in report["members"] if name not in (report["reference"], "water")),
    }
    assert json.loads((folder / "series.json").read_text()) == report
    assert list(report["failed"]) == ["water"]
    with (folder / "series.csv").open() as file:
        rows = {row["member"]: row for row in csv.DictReader(file)}
    assert rows["water"]["verdict"] == "not registered"
    assert "water.nii.gz: found values from" in rows["water"]["reasons"]
    assert rows[report["reference"]]["verdict"] == "reference"
    assert float(rows[report["reference"]]["mean_mm"]) == 0.0


def test_a_second_run_waits_for_the_first_and_skips_what_it_finished(
    finished: tuple[Path, dict[str, Any]], scans: list[Path], caplog: pytest.LogCaptureFixture
) -> None:
    folder, report = finished
    reports = {path: path.stat().st_mtime_ns for path in folder.glob("*/report.json")}
    arguments = {"reference": report["reference"], "transitivity": 0, "options": COARSE}
    with ThreadPoolExecutor(1) as pool:
        with locked_folder(folder):  # the first run
            second = pool.submit(register_series, members_of_files(scans), folder, **arguments)
            while "another process is writing to this folder" not in caplog.text:
                assert not second.done()
                time.sleep(0.02)
            assert json.loads((folder / "series.json").read_text()) == report
        assert second.result()["reference"] == report["reference"]
    assert {path: path.stat().st_mtime_ns for path in folder.glob("*/report.json")} == reports
    (folder / "series.json").write_text(json.dumps(report, indent=2))


def test_the_reference_is_nearest_the_mean_volume(finished: tuple[Path, dict[str, Any]], scans: list[Path]) -> None:
    report = finished[1]
    assert report["lung_volumes_ml"] == {
        name: pytest.approx(volume, abs=0.1) for name, volume in lung_volumes_ml(members_of_files(scans)).items()
    }
    assert report["reference"] in ("p1", "p3")  # lifted by 6 and 5 mm of 0 to 12, 5.75 mm on average
    assert report["reference_chosen_by"] == "lung volume nearest the mean"


def test_motion_is_that_of_the_chests(finished: tuple[Path, dict[str, Any]]) -> None:
    amplitude = finished[1]["amplitude_in_lungs"]
    assert amplitude["si"]["mean_mm"] == pytest.approx(max(LIFTS_MM), abs=2.5)
    assert amplitude["si"]["mean_mm"] > 3 * amplitude["ap"]["mean_mm"]
    with (finished[0] / "motion.csv").open() as file:
        assert {row["name"] for row in csv.DictReader(file)} == {"right lung", "left lung"}


def test_neighbours_are_compared_with_the_way_through_the_reference(finished: tuple[Path, dict[str, Any]]) -> None:
    transitivity = finished[1]["transitivity"]
    (pair,) = transitivity["pairs"]
    assert pair["from"] != finished[1]["reference"]
    assert (finished[0] / "direct" / f"{pair['from']}_to_{pair['to']}" / "transform.h5").is_file()
    assert 0.0 < pair["mean_mm"] < pair["p95_mm"] < pair["max_mm"]
    assert transitivity["not_compared"] == {}


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"reference": "p9"}, r"--reference: expected one of p0, p1, .* got 'p9'"),
        ({"transitivity": -1}, "--transitivity: expected a number of pairs, 0 or more, got -1"),
        ({"reference": "p0", "landmarks": "far.csv"}, r"far\.csv: 1 of 2 landmarks lie outside .*p0\.nii\.gz"),
        ({"reference": "p0", "labels": "far.nii.gz"}, r"far\.nii\.gz: expected labels inside .* 8 of 8 voxels"),
        ({"reference": "p0", "labels": "empty.nii.gz"}, r"empty\.nii\.gz: expected labels above 0, found none"),
        ({"reference": "p0", "labels": "half.nii.gz"}, r"half\.nii\.gz: expected whole numbers, .* found 1\.5"),
        ({"labels": "half.nii.gz", "lungs_first": False}, r"half\.nii\.gz: expected whole numbers, .* found 1\.5"),
        ({"labels": "far.nii.gz", "lungs_first": False}, r"far\.nii\.gz: expected labels inside .* 8 of 8 voxels"),
        ({"landmarks": "far.csv", "lungs_first": False}, r"far\.csv: 1 of 2 landmarks lie outside"),
        ({"reference": "water", "options": COARSE}, "no member could be registered to water: p0: "),
    ],
)
def test_what_cannot_work_is_refused(
    scans: list[Path], tmp_path: Path, options: dict[str, Any], error: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not options.get("lungs_first", True):
        monkeypatch.setattr("bundle.series.run.find_lungs", lambda _: pytest.fail("lungs were looked for"))
    options = {key: value for key, value in options.items() if key != "lungs_first"}
    points = torch.tensor([[0.0, 0.0, 0.0], [900.0, 0.0, 0.0]], dtype=torch.float64)
    write_landmarks_csv(tmp_path / "far.csv", points)
    far = grid_of(0)
    far[0, 3] += 900.0
    labels = np.zeros(SHAPE, np.uint8)
    labels[20:22, 20:22, 20:22] = 1
    write_image(tmp_path / "far.nii.gz", labels, far, dtype=np.uint8)
    write_image(tmp_path / "empty.nii.gz", 0 * labels, grid_of(0), dtype=np.uint8)
    write_image(tmp_path / "half.nii.gz", 1.5 * labels, grid_of(0), dtype=np.float32)
    given = {key: str(tmp_path / value) if key in ("landmarks", "labels") else value for key, value in options.items()}
    members = members_of_files([scans[0], scans[4]])
    members_named = members_of_files(scans) if options.get("reference") == "p9" else members
    with pytest.raises(ValueError, match=error):
        register_series(members_named, tmp_path / "out", **given)
    assert not (tmp_path / "out" / "series.json").exists()


@pytest.fixture(scope="module")
def phases() -> list[PhantomPhase]:
    return list(phantom_cycle(3, phases=4, spacing_mm=(1.5, 1.5, 2.5), diaphragm_mm=(12.0, 16.0), body_scale=0.5))


@pytest.mark.slow
def test_a_phantom_that_breathes_through_a_known_cycle(phases: list[PhantomPhase], tmp_path: Path) -> None:
    files = []
    for phase in phases:
        files.append(tmp_path / f"p{phase.name}.nii.gz")
        write_image(files[-1], phase.scan, torch.from_numpy(phase.affine), dtype=np.int16)
    truth = np.stack([phase.landmarks_mm for phase in phases])  # (4, 300, 3)
    write_landmarks_csv(tmp_path / "points.csv", torch.from_numpy(truth[1]))
    out = tmp_path / "out"
    register_series(
        members_of_files(files),
        out,
        reference="p25",
        landmarks=tmp_path / "points.csv",
        transitivity=0,
        options={"spacing_mm": 2.5},
    )
    with (out / "trajectories.csv").open() as file:
        rows = [row for row in csv.DictReader(file) if row["kind"] == "landmark"]
    found = np.array([[float(row[f"{axis}_mm"]) for axis in "xyz"] for row in rows]).reshape(300, 4, 3)
    errors = np.linalg.norm(found.transpose(1, 0, 2) * [-1, -1, 1] - truth, axis=2)  # LPS to RAS
    assert errors[1].max() < 1e-3
    assert errors.mean(axis=1).max() <= 0.5
    mean_path = np.linalg.norm((found.transpose(1, 0, 2) * [-1, -1, 1] - truth).mean(axis=1), axis=1)
    assert mean_path.max() <= 0.2  # of all landmarks, as of a tumour
    with (out / "motion.csv").open() as file:
        amplitude = [float(row["si_mm"]) for row in csv.DictReader(file) if row["kind"] == "landmark"]
    assert np.abs(np.array(amplitude) - np.ptp(truth[:, :, 2], axis=0)).mean() <= 0.5


@pytest.mark.slow
@pytest.mark.skipif(not DATA.exists(), reason="the real 4DCT is absent: a real series stays unchecked")
def test_a_real_4dct_moves_along_the_body_and_its_lungs_keep_their_volumes(tmp_path: Path) -> None:
    files = [DATA / f"phase{number:02d}.nii.gz" for number in (0, 20, 60)]
    options = {"refine": "none", "spacing_mm": 4.0, "network_spacing_mm": 4.0}
    report = register_series(members_of_files(files), tmp_path, transitivity=0, options=options)
    assert report["failed"] == {}
    amplitude = report["amplitude_in_lungs"]
    assert amplitude["si"]["mean_mm"] > amplitude["ap"]["mean_mm"] > 0.2
    volumes = report["lung_volumes_ml"]
    assert max(volumes, key=volumes.__getitem__) == "phase20"
    assert min(volumes, key=volumes.__getitem__) == "phase60"
    with (tmp_path / "labels.csv").open() as file:
        warped: dict[str, float] = {}
        for row in csv.DictReader(file):
            warped[row["member"]] = warped.get(row["member"], 0.0) + float(row["volume_ml"])
    for name, volume in warped.items():
        assert volume == pytest.approx(volumes[name], rel=0.05)
