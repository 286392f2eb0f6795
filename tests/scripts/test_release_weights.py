from __future__ import annotations

from pathlib import Path

import torch

from scripts.release_weights import release_weights


def test_released_weights_are_the_trained_ones_in_half_precision(tmp_path: Path) -> None:
    trained = {"conv.weight": torch.randn(3, 4), "conv.bias": torch.randn(3)}
    torch.save(trained, tmp_path / "trained.pt")
    release_weights(str(tmp_path / "trained.pt"), str(tmp_path / "released.pt"))
    released = torch.load(tmp_path / "released.pt", weights_only=True)
    assert released.keys() == trained.keys()
    assert all(tensor.dtype == torch.float16 for tensor in released.values())
    assert all(torch.allclose(released[name].float(), trained[name], rtol=1e-3, atol=1e-6) for name in trained)
