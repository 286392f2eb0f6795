from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib.image
import nibabel
import numpy as np
import pytest
import torch
from monai.data import MetaTensor
from torch import Tensor, nn

from bundle.networks import RRN
from scripts.draw_levels import draw_levels, draw_pair
from tests.recipes import save_weights

SHAPE = (32, 48, 16)


class ConstantMotion(nn.Module):
    """Stands for the network: the same motion, in voxels of each level."""

    def forward_levels(self, image: Tensor) -> list[Tensor]:
        size = [int(side) for side in image.shape[2:]]
        motion_vox = torch.tensor([0.0, 8.0, 0.0]).view(1, 3, 1, 1, 1)
        return [(motion_vox / factor).expand(1, 3, *[side // factor for side in size]) for factor in (16, 4, 1)]


def make_pair() -> dict[str, Any]:
    affine = torch.diag(torch.tensor([1.5, 1.0, 3.0, 1.0], dtype=torch.float64))
    fixed, moving = torch.full((1, *SHAPE), -1000.0), torch.full((1, *SHAPE), -1000.0)
    fixed[:, 8:24, 8:24], moving[:, 8:24, 16:32] = 200.0, 200.0
    mask = torch.ones(1, *SHAPE)
    return {
        "image": torch.zeros(2, *SHAPE),
        "mask_net": mask,
        "grid_to_fixed": affine,
        "grid_to_moving": affine,
        "fixed": MetaTensor(fixed, affine=affine),
        "moving": MetaTensor(moving, affine=affine),
        "fixed_mask": MetaTensor(mask, affine=affine),
    }


def test_a_known_motion_makes_warped_look_like_fixed(tmp_path: Path) -> None:
    draw_pair(make_pair(), ConstantMotion(), tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["levels.png", "warped.png"]
    picture = matplotlib.image.imread(tmp_path / "warped.png")[60:, :, 0]  # below the captions
    third = picture.shape[1] // 3
    fixed, moving, warped = [picture[:, start + 4 : start + third - 4] for start in (0, third, 2 * third)]
    assert np.abs(moving - fixed).mean() > 0.05
    assert np.abs(warped - fixed).mean() < 0.002


@pytest.mark.slow
def test_two_files_and_weights_give_both_pictures(tmp_path: Path) -> None:
    config = "configs/inference.json"
    arguments = {"channels": [4, 4, 4, 4], "radius_vox": 1}  # not those of the released weights
    description = {"_target_": "bundle.networks.RRN", **arguments}
    save_weights(RRN(**arguments), tmp_path / "model.pt", network=description, network_spacing_mm=8.0)  # type: ignore[arg-type]
    rng = np.random.default_rng(0)
    for name in ("fixed", "moving"):
        scan = np.full((24, 26, 20), 40, np.int16)
        scan[4:20, 6:20, 3:17] = -850 + rng.integers(-50, 50, (16, 14, 14))
        nibabel.save(nibabel.Nifti1Image(scan, np.diag([10.0, 8.0, 12.0, 1.0])), tmp_path / f"{name}.nii.gz")
    draw_levels(
        fixed=str(tmp_path / "fixed.nii.gz"),
        moving=str(tmp_path / "moving.nii.gz"),
        output_dir=str(tmp_path / "new" / "folder"),
        config=config,
        model=str(tmp_path / "model.pt"),
    )
    assert sorted(path.name for path in (tmp_path / "new" / "folder").iterdir()) == ["levels.png", "warped.png"]
