from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from ignite.engine import Engine
from monai.handlers import CheckpointSaver
from torch import nn

from bundle.handlers.faults import remove_remains, save_atomically
from tests.mounts import small_disk

KB = 1024


def saver_in(folder: Path) -> Any:
    """MONAI's saver, made atomic: a function of the content and the name."""
    saver = CheckpointSaver(str(folder), {"network": nn.Conv3d(1, 1, 1)}, save_interval=1)
    save_atomically(saver._interval_checkpoint)
    return saver._interval_checkpoint.save_handler


def test_a_file_is_replaced_by_a_complete_one(tmp_path: Path) -> None:
    save = saver_in(tmp_path)
    for value in (1.0, 2.0):
        save({"a": torch.tensor(value)}, "model.pt")
    assert torch.load(tmp_path / "model.pt", weights_only=True)["a"] == 2.0
    assert [path.name for path in tmp_path.iterdir()] == ["model.pt"]


def test_a_full_disk_leaves_the_earlier_file_and_nothing_else_and_the_error_names_it(tmp_path: Path) -> None:
    with small_disk(tmp_path, "256k"):
        save = saver_in(tmp_path)
        save({"a": torch.ones(8 * KB)}, "model.pt")  # 32 kB
        with pytest.raises(OSError, match=r"model\.pt: cannot be written \(.+\); earlier checkpoints are unchanged"):
            save({"a": torch.zeros(128 * KB)}, "model.pt")
        assert torch.load(tmp_path / "model.pt", weights_only=True)["a"].sum() == 8 * KB
        assert [path.name for path in tmp_path.iterdir()] == ["model.pt"]
        save({"a": torch.ones(16 * KB)}, "model.pt")  # there is space for it


def test_remains_of_a_killed_process_are_removed_and_other_files_kept(tmp_path: Path) -> None:
    remains = tmp_path / ".checkpoint_epoch=4.pt.x1y2"
    remains.mkdir()
    (remains / "checkpoint_epoch=4.pt").write_bytes(b"half")
    kept = [tmp_path / name for name in ("checkpoint_epoch=3.pt", ".hidden", "model.json")]
    for path in kept:
        path.touch()
    remove_remains(tmp_path, "*.pt")
    assert sorted(tmp_path.iterdir()) == sorted(kept)


def test_the_best_weights_are_there_while_better_ones_are_written(tmp_path: Path) -> None:
    saver = CheckpointSaver(
        str(tmp_path), {"network": nn.Conv3d(1, 1, 1)}, save_key_metric=True, key_metric_filename="model.pt"
    )
    save_atomically(saver._key_metric_checkpoint)
    engine = Engine(lambda engine, batch: None)
    engine.state.key_metric_name = "score"
    for score in (1.0, 2.0):
        engine.state.metrics = {"score": score}
        saver._key_metric_checkpoint(engine)
    handler = saver._key_metric_checkpoint.save_handler
    handler.remove("model_key_metric=2.0000.pt")  # as ignite does before it saves the next
    assert [path.name for path in tmp_path.iterdir()] == ["model.pt"]
