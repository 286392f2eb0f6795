"""Draw the training curves of a run from its TensorBoard events."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).absolute().parents[1]))  # run as a file, from any folder

import numpy as np

from scripts.cli import run as run_command

CURVES = {"loss": "training loss", "tre_mm": "validation TRE, mm", "lncc": "validation LNCC"}
SMOOTHING_ITERATIONS = 50  # window of the moving average


def read_curves(run: Path) -> dict[str, np.ndarray]:
    """Read the curves of `CURVES` from a run, each (N, 2): iteration or epoch, and value.

    Raises: FileNotFoundError for a curve that is missing from the folder's event files.
    """
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    found: dict[str, list[tuple[int, float]]] = {name: [] for name in CURVES}
    for file in sorted(run.glob("events.out.tfevents.*")):
        events = EventAccumulator(str(file), size_guidance={"scalars": 0}).Reload()
        for name in found.keys() & set(events.Tags()["scalars"]):
            found[name] += [(event.step, event.value) for event in events.Scalars(name)]
    missing = [name for name, points in found.items() if not points]
    if missing:
        raise FileNotFoundError(f"{run}: no TensorBoard events with {', '.join(missing)}")
    return {name: np.array(sorted(points)) for name, points in found.items()}


def draw_training(run: str, output: str = "docs/pictures/training_curve.png") -> None:
    """Draw training loss, validation TRE and validation LNCC of RUN.

    Args:
        run: `output_dir` of a training run.
        output: PNG file.
    """
    import matplotlib.pyplot as plt

    from bundle.io import atomic_path

    curves = read_curves(Path(run))
    figure, axes = plt.subplots(1, len(CURVES), figsize=(13, 3.6), layout="constrained")
    for axis, (name, title) in zip(axes, CURVES.items(), strict=True):
        step, value = curves[name].T
        axis.set_title(title)
        axis.grid(alpha=0.3)
        if name == "loss":
            width = min(SMOOTHING_ITERATIONS, len(value))
            smooth = np.convolve(value, np.full(width, 1 / width), mode="valid")
            axis.plot(step, value, color="0.8", linewidth=0.5)
            axis.plot(step[width - 1 :], smooth, color="tab:blue")
            axis.set_xlabel(f"iteration (blue: mean of {width})")
        else:
            axis.plot(step, value, marker="o", color="tab:blue")
            axis.set_xlabel("epoch")
    with atomic_path(Path(output)) as path:
        figure.savefig(path, dpi=110)
    plt.close(figure)


if __name__ == "__main__":
    run_command(draw_training, old_names={"out": "output"})
