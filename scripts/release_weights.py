"""Store trained weights the way they are released: a plain state dict in half precision."""

from __future__ import annotations

from pathlib import Path

import fire
import torch

from bundle.io import atomic_path


def release_weights(source: str, out: str = "models/model.pt") -> None:
    """Copy the state dict SOURCE, as training saves it, to OUT with float16 tensors.

    Args:
        source: `model.pt` of a training run.
        out: released file.
    """
    state = torch.load(source, map_location="cpu", weights_only=True)
    with atomic_path(Path(out)) as path:
        torch.save({name: tensor.half() for name, tensor in state.items()}, path)


if __name__ == "__main__":
    fire.Fire(release_weights)
