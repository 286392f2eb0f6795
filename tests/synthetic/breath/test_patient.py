from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from monai.data import MetaTensor

from bundle.geometry import apply_affine
from bundle.synthetic.breath.patient import position_of, to_ras
from tests.grids import rotation
from tests.synthetic.breath.simulated import chest, small_breath


def test_the_position_turns_about_the_middle_and_shifts() -> None:
    centre = torch.tensor([10.0, 20.0, 30.0], dtype=torch.float64)
    position = position_of(replace(small_breath(), shift_mm=(1.0, 2.0, 3.0), rotation_deg=(2.0, -1.0, 1.5)), centre)
    expected = centre + torch.tensor([1.0, 2.0, 3.0], dtype=torch.float64)
    torch.testing.assert_close(apply_affine(position, centre[None])[0], expected)
    torch.testing.assert_close(position[:3, :3], rotation(2.0, -1.0, 1.5)[:3, :3])


def test_axes_are_brought_in_order_without_moving_the_patient() -> None:
    scan, mask = chest(flip=(-1, 1, -1))
    straight, lungs = to_ras(scan, mask)
    reference, _ = chest()
    torch.testing.assert_close(straight.affine, reference.affine)
    torch.testing.assert_close(straight.as_tensor(), reference.as_tensor())
    assert lungs.shape == straight.shape


def test_a_mask_that_does_not_fit_is_refused() -> None:
    scan, mask = chest()
    with pytest.raises(
        ValueError, match=r"mask: expected the grid of the scan, \(1, 50, 40, 52\), got \(1, 49, 40, 52\)"
    ):
        to_ras(scan, MetaTensor(mask.as_tensor()[:, 1:], affine=mask.affine))
    with pytest.raises(ValueError, match="mask: expected lungs, got no voxel above 0"):
        to_ras(scan, torch.zeros_like(mask))
