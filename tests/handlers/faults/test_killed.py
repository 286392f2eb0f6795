"""A training in a process of its own that SIGKILL ends, then resumes; and one whose disk is full."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from ignite.engine import Events

from tests.handlers.test_training_checkpoint import NUM_PAIRS, assert_same_weights, epochs_in, make_run
from tests.mounts import small_disk

ROOT = Path(__file__).parents[3]
MAX_EPOCHS = 6


def train_until(folder: Path, iteration: int, where: str) -> None:
    """Run in this process until an iteration, or the writing of a file in it, where SIGKILL ends it."""
    run = make_run(folder, max_epochs=MAX_EPOCHS, resume=True)

    def kill() -> None:
        if run.trainer.state.iteration >= iteration:
            os.kill(os.getpid(), signal.SIGKILL)

    if where == "iteration":
        run.trainer.add_event_handler(Events.ITERATION_COMPLETED, kill)
    else:
        save = torch.save

        def save_half(content: object, file: Path) -> None:
            save(content, file)
            if run.trainer.state.iteration >= iteration:
                with Path(file).open("r+b") as half:
                    half.truncate(Path(file).stat().st_size // 2)
                kill()

        torch.save = save_half
    run.trainer.run()


@pytest.mark.parametrize("where", ["iteration", "checkpoint"])
def test_a_process_killed_at_a_random_iteration_resumes_to_the_same_bits(where: str, tmp_path: Path) -> None:
    iteration = random.SystemRandom().randint(1, MAX_EPOCHS * NUM_PAIRS)
    straight = make_run(tmp_path / "straight", max_epochs=MAX_EPOCHS)
    straight.trainer.run()
    arguments = [str(tmp_path / "killed"), str(iteration), where]
    done = subprocess.run([sys.executable, "-m", __name__, *arguments], cwd=ROOT, capture_output=True, check=False)
    assert done.returncode == -signal.SIGKILL, done.stderr
    resumed = make_run(tmp_path / "killed", max_epochs=MAX_EPOCHS, resume=True)
    resumed.trainer.run()
    assert_same_weights(straight, resumed)
    assert resumed.trainer.state.epoch == MAX_EPOCHS, f"killed at iteration {iteration}"
    left = [{path.name for path in (tmp_path / name).iterdir()} for name in ("straight", "killed")]
    assert left[0] == left[1], f"killed at iteration {iteration}"


def test_a_full_disk_keeps_the_last_checkpoint_and_training_continues_from_it(tmp_path: Path) -> None:
    straight = make_run(tmp_path / "straight", max_epochs=MAX_EPOCHS)
    straight.trainer.run()
    (tmp_path / "small").mkdir()
    with small_disk(tmp_path / "small", "1m"):
        folder = tmp_path / "small" / "run"
        run = make_run(folder, max_epochs=MAX_EPOCHS)
        ballast = tmp_path / "small" / "ballast"

        def fill() -> None:
            if run.trainer.state.epoch == 4:
                subprocess.run(["dd", "if=/dev/zero", f"of={ballast}", "bs=4k"], capture_output=True, check=False)

        run.trainer.add_event_handler(Events.EPOCH_STARTED, fill)
        with pytest.raises(OSError, match="No space left on device") as caught:
            run.trainer.run()
        assert str(folder) in str(caught.value)
        assert epochs_in(folder)[-1] in (3, 4)  # the space of epoch 2's may be enough for epoch 4's, not for its recipe
        for path in folder.rglob("*.pt"):
            torch.load(path, weights_only=True)
        ballast.unlink()
        resumed = make_run(folder, max_epochs=MAX_EPOCHS, resume=True)
        resumed.trainer.run()
    assert_same_weights(straight, resumed)


if __name__ == "__main__":
    train_until(Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3])
