from __future__ import annotations

from pathlib import Path

import torch

from bundle.io import check_weights, read_recipe, weights_sha256, write_recipe
from scripts.release_weights import release_weights
from tests.recipes import make_recipe


def test_released_weights_are_the_trained_ones_in_half_precision(tmp_path: Path) -> None:
    trained = {"conv.weight": torch.randn(3, 4), "conv.bias": torch.randn(3)}
    torch.save(trained, tmp_path / "trained.pt")
    write_recipe(tmp_path / "trained.pt", make_recipe(weights_sha256=weights_sha256(trained)))
    release_weights(str(tmp_path / "trained.pt"), str(tmp_path / "released.pt"))
    released = torch.load(tmp_path / "released.pt", weights_only=True)
    assert released.keys() == trained.keys()
    assert all(tensor.dtype == torch.float16 for tensor in released.values())
    assert all(torch.allclose(released[name].float(), trained[name], rtol=1e-3, atol=1e-6) for name in trained)
    check_weights(tmp_path / "released.pt", released)
    assert read_recipe(tmp_path / "released.pt") == read_recipe(tmp_path / "trained.pt")
