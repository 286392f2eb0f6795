from __future__ import annotations

import pytest
import torch
from monai.data import MetaTensor
from monai.engines import SupervisedEvaluator
from torch import Tensor, nn

from bundle.inferers import InstanceOptimization, RegistrationInferer
from bundle.losses import LocalCrossCorrelationLoss, RegistrationLoss, TotalVariationLoss
from tests.inferers.pairs import central_mask, moved_pair, waves_vox

SHAPE = (4, 5, 6)


class Network(nn.Module):
    """Fixed, moving and their difference, in the precision of the input."""

    def forward(self, image: Tensor) -> Tensor:
        return torch.cat([image, image[:, :1] - image[:, 1:]], dim=1)


@pytest.fixture
def image() -> Tensor:
    return torch.rand(2, 2, *SHAPE, generator=torch.Generator().manual_seed(0))


def test_one_tensor_with_both_scans_goes_to_the_network(image: Tensor) -> None:
    torch.testing.assert_close(RegistrationInferer()(image, Network()), Network()(image))


def test_two_tensors_are_fixed_then_moving(image: Tensor) -> None:
    ddf_vox = RegistrationInferer()(image[:, :1], Network(), image[:, 1:])
    torch.testing.assert_close(ddf_vox, Network()(image))
    torch.testing.assert_close(RegistrationInferer()(image[:, :1], Network(), moving=image[:, 1:]), ddf_vox)


def test_a_third_channel_is_the_mask_of_the_refinement() -> None:
    def stand_still(image: Tensor) -> Tensor:
        assert image.shape[1] == 2
        return torch.zeros(1, 3, *image.shape[2:])

    loss = RegistrationLoss(
        similarity=LocalCrossCorrelationLoss(), regularization=TotalVariationLoss(squared=True), weight=1.0
    )
    infer = RegistrationInferer(refine="field", instance_optimization=InstanceOptimization(loss=loss, max_steps=5))
    image, mask = moved_pair(waves_vox()), central_mask()
    beside = infer(image, stand_still, mask=mask)  # type: ignore[arg-type]
    torch.testing.assert_close(infer(torch.cat([image, mask], dim=1), stand_still), beside)  # type: ignore[arg-type]
    assert not torch.allclose(infer(image, stand_still), beside)  # type: ignore[arg-type]


def test_a_network_of_coarser_voxels_gives_its_field_in_those_of_the_grid() -> None:
    """Its own voxels are twice as large, its grid half as fine: one of its voxels is two."""
    seen: list[torch.Size] = []

    def shift_by_one(image: Tensor) -> Tensor:
        seen.append(image.shape)
        return torch.ones(1, 3, *image.shape[2:])

    image = torch.rand(1, 2, 32, 64, 96)
    ddf_vox = RegistrationInferer(network_factor=2.0)(image, shift_by_one)  # type: ignore[arg-type]
    assert seen == [torch.Size([1, 2, 16, 32, 48])]
    torch.testing.assert_close(ddf_vox, torch.full((1, 3, 32, 64, 96), 2.0))


def test_a_mirrored_network_is_asked_twice_and_mirrors_its_answer_back(image: Tensor) -> None:
    direct = Network()(image)
    expected = direct.clone()  # what this network says of a voxel depends on that voxel alone
    expected[:, 0] = 0.0  # once to the right and once to the left
    torch.testing.assert_close(RegistrationInferer(mirror=True)(image, Network()), expected)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_the_ddf_is_float32_whatever_the_network_computes_in(image: Tensor, dtype: torch.dtype) -> None:
    assert RegistrationInferer()(image.to(dtype), Network()).dtype == torch.float32


def test_the_network_gets_plain_tensors(image: Tensor) -> None:
    def network(image: Tensor) -> Tensor:
        assert type(image) is Tensor
        return Network()(image)

    ddf_vox = RegistrationInferer()(MetaTensor(image), network)  # type: ignore[arg-type]
    torch.testing.assert_close(ddf_vox, Network()(image))


def test_monais_engine_takes_it(image: Tensor) -> None:
    evaluator = SupervisedEvaluator(
        device=torch.device("cpu"),
        val_data_loader=[{"image": image}],
        network=Network(),
        inferer=RegistrationInferer(),
        decollate=False,
    )
    evaluator.run()
    torch.testing.assert_close(evaluator.state.output["pred"], Network()(image))
