from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from monai.data import MetaTensor
from PIL import Image

from bundle.geometry import WorldTransform
from bundle.series.animation import Animation
from tests.grids import make_affine

SHAPE = (40, 36, 30)


def ball(affine: torch.Tensor, centre_mm: tuple[float, float, float]) -> MetaTensor:
    """Soft tissue of radius 15 mm in air."""
    vox = torch.stack(torch.meshgrid(*[torch.arange(size) for size in SHAPE], indexing="ij"), dim=-1).double()
    points = vox @ affine[:3, :3].T + affine[:3, 3]
    inside = (points - torch.tensor(centre_mm, dtype=torch.float64)).norm(dim=-1) < 15.0
    return MetaTensor(torch.where(inside, 100.0, -1000.0)[None], affine=affine)


@pytest.mark.parametrize("flip", [(1, 1, 1), (-1, -1, 1)])
def test_frames_move_before_and_stand_still_after(tmp_path: Path, flip: tuple[int, int, int]) -> None:
    affine = make_affine(SHAPE, (3.0, 3.0, 4.0), flip=flip, angles_deg=(0, 5, 0))
    reference, raised = ball(affine, (0.0, 0.0, 0.0)), ball(affine, (0.0, 0.0, 24.0))
    up = torch.eye(4, dtype=torch.float64)
    up[2, 3] = 24.0
    transform = WorldTransform(torch.zeros(1, 3, 4, 4, 4), affine, up @ affine)
    still = WorldTransform(torch.zeros(1, 3, 4, 4, 4), affine, affine)
    animation = Animation(reference, reference[0].as_tensor() > 0)
    animation.add("p0", reference, still)
    animation.add("p1", raised, transform)
    animation.write(tmp_path / "animation.gif")
    with Image.open(tmp_path / "animation.gif") as image:
        assert image.n_frames == 2
        frames = []
        for number in range(2):
            image.seek(number)
            frames.append(np.asarray(image.convert("L"), dtype=float))
    height, width = frames[0].shape
    changed = np.abs(frames[1] - frames[0])[height // 8 :] > 100  # below the titles
    before, after = changed[:, : width // 2].sum(), changed[:, width // 2 :].sum()
    assert before > 500
    assert after < before / 20
