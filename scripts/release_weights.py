"""Store trained weights as they are released: a plain state dict in half precision, with its recipe."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).absolute().parents[1]))  # run as a file, from any folder

from scripts.cli import run


def release_weights(source: str, output: str = "models/model.pt") -> None:
    """Copy the weights SOURCE, as training saves them, to OUTPUT with float16 tensors, and their recipe beside them.

    Args:
        source: `model.pt` or a checkpoint of a training run, with its recipe beside it.
        output: released file.
    """
    import torch

    from bundle.io import atomic_path, check_weights, read_recipe, write_recipe

    state = torch.load(source, map_location="cpu", weights_only=True)
    state = state.get("network", state)
    check_weights(source, state)
    with atomic_path(Path(output)) as path:
        torch.save({name: tensor.half() for name, tensor in state.items()}, path)
    write_recipe(output, read_recipe(source))  # half precision does not change the hash


if __name__ == "__main__":
    run(release_weights, old_names={"out": "output"})
