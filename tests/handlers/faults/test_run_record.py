from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from tests.handlers.test_recipe_saver import make_saver
from tests.handlers.test_training_checkpoint import Run, epochs_in, make_run

CHECKPOINT = "checkpoint_epoch=2.pt"


@pytest.fixture
def finished(tmp_path: Path) -> Path:
    make_run(tmp_path, max_epochs=2).trainer.run()
    return tmp_path


def resumed(folder: Path, **changes: Any) -> Run:
    return make_run(folder, max_epochs=3, resume=True, **changes)


def with_settings(run: Run, folder: Path, **settings: Any) -> Run:
    """Give the recipe of a run other settings."""
    saver = make_saver(folder, **settings)
    run.checkpoint.recipe_saver.settings, run.checkpoint.recipe_saver.seed = saver.settings, saver.seed
    return run


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"alignment": "affine"}, "made with alignment 'translation', this run has 'affine'"),
        ({"spatial_size": [32, 32, 64]}, r"made with spatial_size \[32, 32, 48\], this run has \[32, 32, 64\]"),
        ({"window_hu": {"low": -1000.0, "high": 0.0}}, "made with window_hu .*-100.*, this run has .*0.0}"),
        ({"seed": 4}, "made with seed 3, this run has 4"),
    ],
)
def test_other_settings_are_refused_by_name(finished: Path, settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=rf"{CHECKPOINT}: {message}; resume with what .* or start a new run"):
        with_settings(resumed(finished), finished, **settings).trainer.run()


def test_other_training_pairs_are_refused_by_name(finished: Path) -> None:
    run = resumed(finished)
    data = run.trainer.data_loader.dataset.data
    data[1] = data[1] | {"name": "new"}
    with pytest.raises(ValueError, match="made with other training pairs, this run is without 1 and with new; resume"):
        run.trainer.run()


def test_other_validation_pairs_are_refused_by_name(finished: Path) -> None:
    run = resumed(finished)
    items = run.evaluator.data_loader.dataset
    items[0] = items[0] | {"name": "new"}
    with pytest.raises(
        ValueError, match="made with other validation pairs, this run is without 0 and with new; resume"
    ):
        run.trainer.run()


def test_another_scan_under_the_name_of_a_pair_is_refused(finished: Path) -> None:
    run = resumed(finished)
    data = run.trainer.data_loader.dataset
    item = data.data[3] | {"moving_sha256": "other"}
    data.set_data([*data.data[:3], item, *data.data[4:]])
    with pytest.raises(
        ValueError, match="pair '3': the moving scan is not the one that the resumed run was trained on"
    ):
        run.trainer.run()
    assert epochs_in(finished) == [1, 2]


def test_another_order_of_the_pairs_and_another_loss_are_named(
    finished: Path, caplog: pytest.LogCaptureFixture
) -> None:
    run = resumed(finished)
    data = run.trainer.data_loader.dataset
    data.set_data([*data.data[1:], data.data[0]])
    data.transform.transforms[0].prob = 0.25
    run.trainer.loss_function = nn.L1Loss()
    with caplog.at_level(logging.WARNING):
        run.trainer.run()
    assert f"{finished / CHECKPOINT}: the training pairs are in another order now" in caplog.text
    assert f"{CHECKPOINT}: made with loss_function 'MSELoss', this run has 'L1Loss'" in caplog.text
    assert f"{CHECKPOINT}: made with transform.transforms.0.prob 0.5, this run has 0.25" in caplog.text


def test_many_changed_pairs_are_counted(finished: Path) -> None:
    path = finished / CHECKPOINT
    content = torch.load(path, weights_only=True)
    content["run"]["pairs"] += [f"old{number}" for number in range(8)]
    torch.save(content, path)
    with pytest.raises(ValueError, match="without old0, old1, old2, old3, old4 and 3 more; resume"):
        resumed(finished).trainer.run()


def test_changed_config_files_and_optimiser_are_named_in_a_warning(
    finished: Path, caplog: pytest.LogCaptureFixture
) -> None:
    run = resumed(finished, lr=3e-3)
    run.checkpoint.recipe_saver.config_files = {"train.json": "0" * 64, "lungs.json": "1" * 64}
    with caplog.at_level(logging.WARNING):
        run.trainer.run()
    assert f"{finished / CHECKPOINT}: these config files have changed since: lungs.json, train.json" in caplog.text
    assert "optimizer lr: 0.01 of the checkpoint is used, not 0.003 of this run" in caplog.text


def test_an_unchanged_run_resumes_without_a_warning(finished: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        resumed(finished).trainer.run()
    assert "changed" not in caplog.text
    assert "this run" not in caplog.text
    assert "optimizer" not in caplog.text


def test_a_checkpoint_of_an_earlier_version_resumes(finished: Path) -> None:
    path = finished / CHECKPOINT
    content = torch.load(path, weights_only=True)
    del content["run"]
    torch.save(content, path)
    run = resumed(finished)
    run.trainer.run()
    assert run.trainer.state.epoch == 3
