"""Draw the curves of a training run from its TensorBoard events."""

from __future__ import annotations

from pathlib import Path

import fire
import matplotlib.pyplot as plt
import numpy as np
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from bundle.io import atomic_path

CURVES = {"loss": "training loss", "tre_mm": "validation TRE, mm", "lncc": "validation local correlation"}
SMOOTHING_ITERATIONS = 50  # mean over so many crops


def read_curves(run: Path) -> dict[str, np.ndarray]:
    """The curves of `CURVES` in a run, each (N, 2): iteration or epoch, and value.

    Raises: FileNotFoundError for a curve that the folder's event files do not hold.
    """
    found: dict[str, list[tuple[int, float]]] = {name: [] for name in CURVES}
    for file in sorted(run.glob("events.out.tfevents.*")):
        events = EventAccumulator(str(file), size_guidance={"scalars": 0}).Reload()
        for name in found.keys() & set(events.Tags()["scalars"]):
            found[name] += [(event.step, event.value) for event in events.Scalars(name)]
    missing = [name for name, points in found.items() if not points]
    if missing:
        raise FileNotFoundError(f"{run}: no TensorBoard events with {', '.join(missing)}")
    return {name: np.array(sorted(points)) for name, points in found.items()}


def draw_training(run: str, out: str = "docs/pictures/training_curve.png") -> None:
    """Draw training loss, validation TRE and validation correlation of RUN into OUT.

    Args:
        run: `output_dir` of a training.
        out: the picture.
    """
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
    with atomic_path(Path(out)) as path:
        figure.savefig(path, dpi=110)
    plt.close(figure)


if __name__ == "__main__":
    fire.Fire(draw_training)
