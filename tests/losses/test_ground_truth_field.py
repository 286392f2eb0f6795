from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from bundle.losses import GroundTruthFieldLoss

SHAPE = (4, 5, 6)


class Constant(nn.Module):
    """Returns 0.5 for every field and records the number of label channels."""

    def forward(self, ddf_vox: Tensor, label: Tensor) -> Tensor:
        self.channels = label.shape[1]
        return 0.5 + 0 * ddf_vox.sum()


def make_label(*, available: float = 1.0) -> Tensor:
    """Mask: first half along the last axis; ground-truth ddf (1, 2, 2) inside, other values outside."""
    label = torch.zeros(1, 7, *SHAPE)
    label[:, 2, ..., :3] = 1.0
    label[:, 3:6] = torch.tensor([1.0, 2.0, 2.0]).view(3, 1, 1, 1)
    label[:, 3:6, ..., 3:] = 50.0
    label[:, 6] = available
    return label


def test_the_error_of_a_zero_field_is_the_length_of_the_ground_truth_inside_the_mask() -> None:
    loss = GroundTruthFieldLoss(registration=Constant(), weight=0.1)
    assert loss(torch.zeros(1, 3, *SHAPE), make_label()).item() == pytest.approx(0.5 + 0.1 * 3.0)


def test_the_ground_truth_field_gives_the_unsupervised_loss_of_scans_and_mask_only() -> None:
    registration = Constant()
    label = make_label()
    assert GroundTruthFieldLoss(registration=registration, weight=7.0)(label[:, 3:6], label).item() == pytest.approx(
        0.5
    )
    assert registration.channels == 3


def test_a_pair_without_a_ground_truth_field_is_not_supervised() -> None:
    loss = GroundTruthFieldLoss(registration=Constant(), weight=7.0)
    assert loss(torch.ones(1, 3, *SHAPE), make_label(available=0.0)).item() == pytest.approx(0.5)


def test_the_gradient_is_right() -> None:
    label = make_label().double()
    ddf_vox = torch.rand(1, 3, *SHAPE, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    loss = GroundTruthFieldLoss(registration=Constant(), weight=0.3)
    assert torch.autograd.gradcheck(lambda field: loss(field, label), ddf_vox.requires_grad_())


def test_another_number_of_channels_is_refused() -> None:
    with pytest.raises(ValueError, match=r"label: expected .*7 channels.* got 3"):
        GroundTruthFieldLoss(registration=Constant(), weight=1.0)(torch.zeros(1, 3, *SHAPE), torch.zeros(1, 3, *SHAPE))
