from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor, nn

from bundle.inferers import NetworkFineTuning
from bundle.losses import LocalCrossCorrelationLoss, RegistrationLoss, TotalVariationLoss
from tests.inferers.pairs import central_mask, moved_pair, waves_vox


class ShiftNetwork(nn.Module):
    """The same learnt shift everywhere, whatever it sees."""

    def __init__(self) -> None:
        super().__init__()
        self.shift_vox = nn.Parameter(torch.zeros(3))

    def forward(self, image: Tensor) -> Tensor:
        return self.shift_vox.view(1, 3, 1, 1, 1).expand(image.shape[0], 3, *image.shape[2:])


@pytest.fixture
def shift_vox() -> Tensor:
    return torch.tensor([0.8, -0.6, 0.4])


@pytest.fixture
def image(shift_vox: Tensor) -> Tensor:
    return moved_pair(torch.zeros_like(waves_vox()) + shift_vox.view(1, 3, 1, 1, 1))


def make(*, max_steps: int = 60, time_budget_s: float | None = None) -> NetworkFineTuning:
    loss = RegistrationLoss(
        similarity=LocalCrossCorrelationLoss(), regularization=TotalVariationLoss(squared=True), weight=0.1
    )
    return NetworkFineTuning(
        loss=loss, max_steps=max_steps, learning_rate=0.05, crop_vox=24, time_budget_s=time_budget_s
    )


def test_the_copy_learns_the_pair(image: Tensor, shift_vox: Tensor) -> None:
    tuned = make()(ShiftNetwork(), image, central_mask())
    torch.testing.assert_close(tuned.shift_vox.detach(), shift_vox, atol=0.05, rtol=0)


def test_the_network_itself_stays_and_a_second_pair_gets_the_same_whatever_ran_before(image: Tensor) -> None:
    network = ShiftNetwork()
    before = copy.deepcopy(network.state_dict())
    refine = make(max_steps=5)
    other = moved_pair(waves_vox())
    alone = refine(network, other, central_mask())
    refine(network, image)
    after_another = refine(network, other, central_mask())
    assert torch.equal(network.shift_vox, before["shift_vox"])
    assert torch.equal(alone.shift_vox, after_another.shift_vox)
    assert not torch.equal(alone.shift_vox, network.shift_vox)


def test_without_time_nothing_is_learnt(image: Tensor) -> None:
    assert torch.equal(make(time_budget_s=0)(ShiftNetwork(), image).shift_vox, torch.zeros(3))


def test_hosts_in_inference_mode_and_without_gradients_may_call_it(image: Tensor) -> None:
    expected = make(max_steps=3)(ShiftNetwork(), image).shift_vox
    network = ShiftNetwork()
    with torch.inference_mode():
        assert torch.equal(make(max_steps=3)(network, image.clone()).shift_vox, expected)
    with torch.no_grad():
        assert torch.equal(make(max_steps=3)(network, image).shift_vox, expected)


def test_a_torchscript_network_is_fine_tuned_as_the_network_itself(image: Tensor) -> None:
    """MONAI Deploy has a TorchScript network, without gradients."""
    network = nn.Conv3d(2, 3, 3, padding=1)
    for parameter in network.parameters():
        nn.init.zeros_(parameter)
    refine = make(max_steps=5)
    with torch.no_grad():
        scripted = refine(torch.jit.script(network), image, central_mask())
        eager = refine(network, image, central_mask())
    assert not torch.equal(eager.weight, network.weight)
    torch.testing.assert_close(scripted.weight, eager.weight, atol=1e-6, rtol=0)


def test_a_time_below_zero_cannot_be_meant() -> None:
    with pytest.raises(ValueError, match="refine_budget_s: expected seconds of 0 or more, got -1"):
        make(time_budget_s=-1.0)
