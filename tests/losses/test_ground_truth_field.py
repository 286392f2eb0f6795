from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from bundle.geometry import upsample_ddf
from bundle.losses import GroundTruthFieldLoss

SHAPE = (4, 8, 12)
TRUTH = torch.tensor([1.0, 2.0, 2.0]).view(3, 1, 1, 1)


class Constant(nn.Module):
    """Returns 0.5 for every field and records the number of label channels."""

    def forward(self, ddf_vox: Tensor, label: Tensor) -> Tensor:
        self.channels = label.shape[1]
        self.samples = len(label)
        return 0.5 + 0 * ddf_vox.sum()


def make_label(*, weight: float = 1.0, voxel_mm: float = 2.0) -> Tensor:
    """Weight in the first half along the last axis; ground-truth ddf `TRUTH` there, other values outside."""
    label = torch.zeros(1, 8, *SHAPE)
    label[:, 3:6] = TRUTH
    label[:, 3:6, ..., 6:] = 50.0
    label[:, 6, ..., :6] = weight
    label[:, 7] = voxel_mm
    return label


def make_loss(**options: float) -> GroundTruthFieldLoss:
    return GroundTruthFieldLoss(registration=Constant(), **{"power": 1.0, "eps_mm": 0.0, "level_weight": 0.1} | options)


@pytest.mark.parametrize("voxel_mm", [1.5, 2.0, 3.0])
def test_the_error_of_a_zero_field_is_the_length_of_the_ground_truth_in_mm_where_it_counts(voxel_mm: float) -> None:
    loss = make_loss()(torch.zeros(1, 3, *SHAPE), make_label(voxel_mm=voxel_mm))
    assert loss.item() == pytest.approx(3.0 * voxel_mm)


def test_small_errors_count_by_the_power_and_never_less_than_the_floor() -> None:
    label = make_label()
    off = label[:, 3:6].clone()
    off[:, 1] += 0.5  # 1 mm
    loss = make_loss(power=0.9, eps_mm=0.1)
    assert loss(off, label).item() == pytest.approx((1.0 + 0.01) ** 0.45)
    assert loss(label[:, 3:6], label).item() == pytest.approx(0.1**0.9)


def test_weights_are_relative() -> None:
    label = make_label(weight=0.05)
    label[:, 6, :, :, 0] = 1.0
    field = torch.zeros(1, 3, *SHAPE)
    field[..., 0] = TRUTH.view(1, 3, 1, 1)
    assert make_loss()(field, label).item() == pytest.approx(6.0 * 5 * 0.05 / (5 * 0.05 + 1.0))


def test_coarser_fields_count_by_their_weight_in_voxels_of_their_own() -> None:
    label = make_label()
    label[:, 3:6] = TRUTH
    right = [(TRUTH / factor).expand(1, 3, *[side // factor for side in SHAPE]) for factor in (4, 2, 1)]
    assert torch.allclose(upsample_ddf(right[1]), right[2]), "as the network upsamples"
    assert make_loss()(right, label).item() == pytest.approx(0.0)
    zeros = [torch.zeros_like(field) for field in right]
    assert make_loss(level_weight=0.25)(zeros, label).item() == pytest.approx(6.0 * (1 + 2 * 0.25))
    assert make_loss(level_weight=0.25)([*right[:2], zeros[2]], label).item() == pytest.approx(6.0)


def test_a_coarse_voxel_is_compared_with_every_nth_fine_one() -> None:
    label = make_label()
    label[:, 6] = 1.0
    label[:, 3:6] = torch.arange(SHAPE[2]).float()
    fine = label[:, 3:6].clone()
    assert make_loss()([fine[..., ::2, ::2, ::2] / 2, fine], label).item() == pytest.approx(0.0)


def test_a_pair_without_a_ground_truth_field_is_unsupervised_and_others_are_not() -> None:
    loss = make_loss()
    field = torch.zeros(1, 3, *SHAPE)
    assert loss(field, make_label(weight=0.0)).item() == pytest.approx(0.5)
    both = torch.cat([make_label(weight=0.0), make_label(), make_label(), make_label()])
    assert loss(field.expand(4, 3, *SHAPE), both).item() == pytest.approx(0.25 * 0.5 + 0.75 * 6.0)
    assert (loss.registration.channels, loss.registration.samples) == (3, 1)


def test_the_gradient_is_right() -> None:
    label = make_label().double()
    generator = torch.Generator().manual_seed(0)
    ddfs = [torch.rand(1, 3, *sides, dtype=torch.float64, generator=generator) for sides in ((2, 4, 6), SHAPE)]
    loss = make_loss(power=0.9, eps_mm=0.1)
    inputs = [ddf.requires_grad_() for ddf in ddfs]
    assert torch.autograd.gradcheck(lambda *fields: loss(fields, label), inputs)


def test_another_number_of_channels_is_refused() -> None:
    with pytest.raises(ValueError, match=r"label: expected .*8 channels.* got 3"):
        make_loss()(torch.zeros(1, 3, *SHAPE), torch.zeros(1, 3, *SHAPE))
