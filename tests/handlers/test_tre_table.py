from __future__ import annotations

import json
import os
import socket
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from monai.engines import SupervisedEvaluator

from bundle.handlers import TargetRegistrationError, TRETableHandler
from bundle.io import write_recipe
from tests.handlers.cases import make_case, reveal
from tests.recipes import make_recipe

Evaluate = Callable[..., SupervisedEvaluator]
CASES = [
    make_case("phantom-1", none=10.0, aligned=4.0, registered=1.0, landmarks=3),
    make_case("phantom-2", none=20.0, aligned=6.0, registered=2.5, landmarks=5),
]


def test_the_table_shows_each_case_and_the_mean_over_cases(
    evaluate: Evaluate, capsys: pytest.CaptureFixture[str]
) -> None:
    evaluate(CASES, {"tre_mm": TargetRegistrationError()}, TRETableHandler())
    lines = {line.split("│")[1].strip(): line for line in capsys.readouterr().out.splitlines() if "│" in line}
    assert [cell.strip() for cell in lines["phantom-2"].split("│")[2:-1]] == ["5", "20.00", "6.00", "2.50 ± 0.00"]
    assert [cell.strip() for cell in lines["mean over cases"].split("│")[2:-1]] == ["", "15.00", "5.00", "1.75"]


def test_reports_are_written_with_what_else_was_measured(evaluate: Evaluate, tmp_path: Path) -> None:
    cases = [case | {"later_folding_percent": 0.5, "later_time_s": 3.0} for case in CASES]
    write_recipe(tmp_path / "model.pt", make_recipe())
    cases = [case | {"fixed_sha256": "f", "moving_sha256": "other"} for case in cases]
    handler = TRETableHandler(weights=tmp_path / "model.pt", output_dir=tmp_path / "new" / "folder")
    evaluate(cases, {"tre_mm": TargetRegistrationError()}, handler)
    report = json.loads((tmp_path / "new" / "folder" / "tre.json").read_text())
    assert report["weights"] == "transductive"
    assert [case["name"] for case in report["cases"]] == ["phantom-1", "phantom-2"]
    assert report["cases"][0]["folding_percent"] == 0.5
    assert report["cases"][0]["sd_log_jacobian"] is None
    assert report["mean"]["tre_mm"] == pytest.approx(1.75)
    assert sorted(path.name for path in (tmp_path / "new" / "folder").iterdir()) == ["tre.csv", "tre.json", "tre.md"]


def test_pairs_without_landmarks_stand_in_the_table_without_numbers(
    evaluate: Evaluate, capsys: pytest.CaptureFixture[str]
) -> None:
    bare = {key: CASES[0][key] for key in ("image", "moving_affine")} | {"name": "bare"}
    evaluate([bare, CASES[1]], {"tre_mm": TargetRegistrationError()}, TRETableHandler())
    output = capsys.readouterr().out
    assert "bare" in output
    assert "nan" not in output


def test_a_second_run_does_not_repeat_the_first(evaluate: Evaluate, tmp_path: Path) -> None:
    handler = TRETableHandler(output_dir=tmp_path)
    evaluate(CASES, {"tre_mm": TargetRegistrationError()}, handler).run()
    assert len(json.loads((tmp_path / "tre.json").read_text())["cases"]) == 2


def _score_on_rank(rank: int, port: int, folder: str) -> None:
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    dist.init_process_group("gloo", rank=rank, world_size=2)
    cases = [reveal(case) for case in (CASES if rank == 0 else CASES[1:])]  # the second case is given to both ranks
    engine = SimpleNamespace(state=SimpleNamespace(batch=cases, output=[{}] * len(cases)))
    metric, table = TargetRegistrationError(), TRETableHandler(output_dir=folder)
    metric.iteration_completed(engine)
    table._collect(engine)
    table._report(engine)
    gathered = metric.metric_fn.get_buffer()
    if rank == 1:
        torch.save(gathered, Path(folder) / "gathered.pt")
    dist.destroy_process_group()


@pytest.mark.slow
def test_two_ranks_gather_cases_with_different_landmark_counts(tmp_path: Path) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    mp.spawn(_score_on_rank, args=(port, str(tmp_path)), nprocs=2)
    assert torch.load(tmp_path / "gathered.pt", weights_only=True)[:, -1].tolist() == [3, 5, 5]
    assert [case["name"] for case in json.loads((tmp_path / "tre.json").read_text())["cases"]] == [
        "phantom-1",
        "phantom-2",
    ]
