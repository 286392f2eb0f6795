from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from ignite.engine import Engine, Events
from monai.data import CacheDataset, DataLoader
from monai.engines import SupervisedEvaluator, SupervisedTrainer
from monai.handlers import (
    CheckpointSaver,
    EarlyStopHandler,
    MeanSquaredError,
    ValidationHandler,
    from_engine,
)
from monai.transforms import Compose, RandFlipd, RandGaussianNoised
from torch import Tensor, nn

from bundle.handlers import EpochSeed, TrainingCheckpoint, ValidationState
from tests.handlers.test_recipe_saver import make_saver

SHAPE = (4, 5, 6)
PATIENCE = 100
NUM_PAIRS = 5


@dataclass
class Run:
    """A small training run with everything `configs/train.json` attaches to its trainer."""

    trainer: SupervisedTrainer
    evaluator: SupervisedEvaluator
    network: nn.Module
    best_saver: CheckpointSaver
    early_stop: EarlyStopHandler
    losses: list[float]
    checkpoint: TrainingCheckpoint

    @property
    def weights(self) -> dict[str, Tensor]:
        return self.network.state_dict()


class Killed(Exception):
    """The machine went away."""


class UseScaler:
    """As MONAI's trainer does with AMP on a GPU: a new scaler whenever it runs."""

    def __init__(self, scale: float | None) -> None:
        self.scale = scale

    def attach(self, trainer: SupervisedTrainer) -> None:
        trainer.add_event_handler(Events.STARTED, self, trainer)

    def __call__(self, trainer: SupervisedTrainer) -> None:
        trainer.scaler = None if self.scale is None else torch.amp.GradScaler("cpu", init_scale=self.scale)


def make_run(
    folder: Path,
    *,
    max_epochs: int = 6,
    resume: bool = False,
    patience: int = PATIENCE,
    lr: float = 1e-2,
    scale: float | None = None,
) -> Run:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv3d(1, 3, 3, padding=1), nn.LeakyReLU(), nn.Conv3d(3, 1, 3, padding=1))
    generator = torch.Generator().manual_seed(1)
    items = [
        {"image": image, "label": image.roll(1, dims=1), "name": f"{number}", "fixed_sha256": "f", "moving_sha256": "m"}
        for number, image in enumerate(torch.rand(NUM_PAIRS, 1, *SHAPE, generator=generator))
    ]
    augmentation = Compose(
        [RandFlipd(["image", "label"], prob=0.5, spatial_axis=0), RandGaussianNoised("image", prob=0.7)]
    )
    optimizer = torch.optim.Adam(network.parameters(), lr=lr)
    best_saver = CheckpointSaver(
        str(folder / "best"),
        {"network": network},
        save_key_metric=True,
        key_metric_filename="model.pt",
        key_metric_negative_sign=True,
    )
    early_stop = EarlyStopHandler(patience=patience, score_function=_score)
    evaluator = SupervisedEvaluator(
        device=torch.device("cpu"),
        val_data_loader=DataLoader(items[:2], batch_size=1),
        network=network,
        key_val_metric={"error": MeanSquaredError(output_transform=from_engine(["pred", "label"]))},
        metric_cmp_fn=lambda current, best: current < best,
        val_handlers=[best_saver, early_stop],
    )
    checkpoint = TrainingCheckpoint(
        directory=folder,
        state={
            "network": network,
            "optimizer": optimizer,
            "validation": ValidationState(evaluator=evaluator, best_saver=best_saver, early_stop=early_stop),
        },
        recipe_saver=make_saver(folder),
        interval=1,
        resume=resume,
        map_location="cpu",
    )
    losses: list[float] = []
    trainer = SupervisedTrainer(
        device=torch.device("cpu"),
        max_epochs=max_epochs,
        train_data_loader=DataLoader(
            CacheDataset(items, transform=augmentation, progress=False), batch_size=1, shuffle=True
        ),
        network=network,
        optimizer=optimizer,
        loss_function=nn.MSELoss(),
        train_handlers=[
            UseScaler(scale),
            EpochSeed(seed=0, transform=augmentation),
            ValidationHandler(validator=evaluator, interval=1, epoch_level=True),
            checkpoint,
        ],
    )
    early_stop.set_trainer(trainer)
    trainer.add_event_handler(Events.ITERATION_COMPLETED, lambda: losses.append(trainer.state.output[0]["loss"]))
    return Run(trainer, evaluator, network, best_saver, early_stop, losses, checkpoint)


def _score(engine: Engine) -> float:
    """Early stopping wants a score that grows."""
    return -engine.state.metrics["error"]


def kill_in_epoch(run: Run, epoch: int) -> None:
    """Run until the middle of an epoch."""

    def kill() -> None:
        if run.trainer.state.iteration == (epoch - 1) * NUM_PAIRS + 3:
            raise Killed

    run.trainer.add_event_handler(Events.ITERATION_COMPLETED, kill)
    with pytest.raises(Killed):
        run.trainer.run()


def assert_same_weights(first: Run, second: Run) -> None:
    for name, weight in first.weights.items():
        assert torch.equal(weight, second.weights[name]), name


def epochs_in(folder: Path) -> list[int]:
    return sorted(int(path.stem.rpartition("=")[2]) for path in folder.glob("checkpoint_epoch=*.pt"))


@pytest.mark.parametrize("epoch", [2, 4, 6])
def test_a_killed_and_resumed_run_ends_with_the_same_bits(tmp_path: Path, epoch: int) -> None:
    straight = make_run(tmp_path / "straight")
    straight.trainer.run()
    kill_in_epoch(make_run(tmp_path / "killed"), epoch)
    torch.rand(7)  # what another process had drawn by then
    resumed = make_run(tmp_path / "killed", resume=True)
    resumed.trainer.run()
    assert_same_weights(straight, resumed)
    assert resumed.trainer.state.epoch == 6
    assert resumed.losses == straight.losses[(epoch - 1) * NUM_PAIRS :]
    assert resumed.evaluator.state.best_metric == straight.evaluator.state.best_metric
    assert resumed.evaluator.state.best_metric_epoch == straight.evaluator.state.best_metric_epoch
    best = [torch.load(tmp_path / run / "best" / "model.pt", weights_only=True) for run in ("straight", "killed")]
    assert all(torch.equal(best[0][name], best[1][name]) for name in best[0])


def test_training_goes_on_where_it_was_killed_twice(tmp_path: Path) -> None:
    straight = make_run(tmp_path / "straight")
    straight.trainer.run()
    kill_in_epoch(make_run(tmp_path / "killed", resume=True), 3)
    kill_in_epoch(make_run(tmp_path / "killed", resume=True), 5)
    resumed = make_run(tmp_path / "killed", resume=True)
    resumed.trainer.run()
    assert_same_weights(straight, resumed)


def test_a_finished_run_can_be_made_longer(tmp_path: Path) -> None:
    straight = make_run(tmp_path / "straight", max_epochs=5)
    straight.trainer.run()
    make_run(tmp_path / "longer", max_epochs=3).trainer.run()
    longer = make_run(tmp_path / "longer", max_epochs=5, resume=True)
    longer.trainer.run()
    assert_same_weights(straight, longer)


def test_resuming_a_finished_run_does_nothing(tmp_path: Path) -> None:
    finished = make_run(tmp_path, max_epochs=3)
    finished.trainer.run()
    again = make_run(tmp_path, max_epochs=3, resume=True)
    again.trainer.run()
    assert again.losses == []
    assert_same_weights(finished, again)


def test_the_best_score_survives_so_a_worse_one_does_not_replace_its_weights(tmp_path: Path) -> None:
    first = make_run(tmp_path, max_epochs=3)
    first.trainer.run()
    best = torch.load(tmp_path / "best" / "model.pt", weights_only=True)
    error = first.evaluator.state.best_metric
    worse = make_run(tmp_path, max_epochs=6, resume=True, lr=0.0)
    worse.trainer.add_event_handler(Events.ITERATION_COMPLETED, lambda: _spoil(worse.network))
    worse.trainer.run()
    assert worse.evaluator.state.best_metric == error
    assert worse.evaluator.state.metrics["error"] > error
    kept = torch.load(tmp_path / "best" / "model.pt", weights_only=True)
    assert all(torch.equal(best[name], kept[name]) for name in best)


def _spoil(network: nn.Module) -> None:
    with torch.no_grad():
        for weight in network.parameters():
            weight.add_(0.5)


def test_patience_goes_on_counting(tmp_path: Path) -> None:
    """A score that only gets worse stops a run after `patience` validations, killed in between or not."""
    ends = []
    for name, kill_epoch in (("straight", None), ("killed", 3)):
        run = make_run(tmp_path / name, max_epochs=20, patience=4)
        run.trainer.add_event_handler(Events.EPOCH_STARTED, lambda run=run: _spoil(run.network))
        if kill_epoch is not None:
            kill_in_epoch(run, kill_epoch)
            run = make_run(tmp_path / name, max_epochs=20, patience=4, resume=True)
            run.trainer.add_event_handler(Events.EPOCH_STARTED, lambda run=run: _spoil(run.network))
        run.trainer.run()
        ends.append(run.trainer.state.epoch)
    assert ends[0] == ends[1] < 20


def test_an_unreadable_checkpoint_is_passed_over_with_a_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    straight = make_run(tmp_path / "straight")
    straight.trainer.run()
    killed = tmp_path / "killed"
    kill_in_epoch(make_run(killed), 5)
    newest = killed / "checkpoint_epoch=4.pt"
    whole, weight = newest.read_bytes(), torch.load(newest, weights_only=True)["network"]["0.weight"].numpy().tobytes()
    assert weight in whole
    zeroed, flipped = (whole.replace(weight, other + weight[len(other) :]) for other in (bytes(len(weight)), b"\x01"))
    for damaged in (b"", whole[:-2000], b"\x80\x02garbage", zeroed, flipped):
        newest.write_bytes(damaged)
        caplog.clear()
        resumed = make_run(killed, resume=True, max_epochs=4)
        with caplog.at_level(logging.INFO):
            resumed.trainer.run()
        assert f"{newest}: unreadable, trying an earlier checkpoint" in caplog.text
        assert "checkpoint_epoch=3.pt: resuming after epoch 3" in caplog.text
    resumed = make_run(killed, resume=True)
    resumed.trainer.run()
    assert_same_weights(straight, resumed)


def test_with_nothing_to_resume_from_training_starts_from_the_beginning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    straight = make_run(tmp_path / "straight", max_epochs=2)
    straight.trainer.run()
    run = make_run(tmp_path / "empty", max_epochs=2, resume=True)
    with caplog.at_level(logging.WARNING):
        run.trainer.run()
    assert f"{tmp_path / 'empty'}: no checkpoint to resume from, training starts from the beginning" in caplog.text
    assert_same_weights(straight, run)


def test_a_new_run_clears_the_checkpoints_of_an_old_one(tmp_path: Path) -> None:
    make_run(tmp_path, max_epochs=6).trainer.run()
    (tmp_path / "notes.txt").write_text("mine")
    assert epochs_in(tmp_path) == [5, 6]
    kill_in_epoch(make_run(tmp_path), 3)
    assert epochs_in(tmp_path) == [1, 2]  # a resume would else take epoch 6 of another run
    assert (tmp_path / "notes.txt").exists()


def test_two_checkpoints_are_kept_also_by_a_resumed_run(tmp_path: Path) -> None:
    kill_in_epoch(make_run(tmp_path), 4)
    assert epochs_in(tmp_path) == [2, 3]
    make_run(tmp_path, resume=True).trainer.run()
    assert epochs_in(tmp_path) == [5, 6]


@pytest.mark.parametrize("scale", [8.0, None], ids=["from mixed precision", "from full precision"])
def test_the_loss_scale_of_mixed_precision_survives(tmp_path: Path, scale: float | None) -> None:
    make_run(tmp_path, max_epochs=2, scale=scale).trainer.run()
    resumed = make_run(tmp_path, max_epochs=3, resume=True, scale=64.0)
    resumed.trainer.run()
    assert resumed.trainer.scaler.get_scale() == (scale or 64.0)


@pytest.mark.parametrize("content", [{"network": {}}, [1, 2]])
def test_a_file_that_is_no_checkpoint_is_named_with_what_it_lacks(content: object, tmp_path: Path) -> None:
    torch.save(content, tmp_path / "checkpoint_epoch=3.pt")
    with pytest.raises(ValueError, match=r"checkpoint_epoch=3\.pt: expected a checkpoint of this .*optimizer, valid"):
        make_run(tmp_path, resume=True).trainer.run()


def test_a_checkpoint_of_another_network_is_an_error(tmp_path: Path) -> None:
    make_run(tmp_path, max_epochs=2).trainer.run()
    path = tmp_path / "checkpoint_epoch=2.pt"
    content = torch.load(path, weights_only=True)
    content["network"] = nn.Conv3d(1, 1, 1).state_dict()
    torch.save(content, path)
    with pytest.raises(RuntimeError, match="Missing key"):
        make_run(tmp_path, resume=True).trainer.run()
