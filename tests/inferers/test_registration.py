from __future__ import annotations

import time
from pathlib import Path

import pytest
import torch
from monai.data import MetaTensor
from monai.engines import SupervisedEvaluator
from torch import Tensor, nn

from bundle.inferers import InstanceOptimization, RegistrationInferer, has_mixed_precision
from bundle.losses import LocalCrossCorrelationLoss, RegistrationLoss, TotalVariationLoss
from tests.grids import make_affine
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
    optimization = InstanceOptimization(loss=loss, levels_mm=[2.0, 1.0], control_mm=[6.0, 3.0], rim_mm=3.0, max_steps=5)
    infer = RegistrationInferer(refine="field", instance_optimization=optimization)
    image, mask = MetaTensor(moved_pair(waves_vox()), affine=torch.eye(4)), central_mask()
    beside = infer(image, stand_still, mask=mask)  # type: ignore[arg-type]
    torch.testing.assert_close(infer(torch.cat([image, mask], dim=1), stand_still), beside)  # type: ignore[arg-type]
    assert not torch.allclose(infer(image, stand_still), beside)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("spacing_mm", "sides", "seen_sides", "ddf_vox"),
    [
        ((1.0, 1.0, 1.0), (32, 64, 96), (16, 32, 48), (2.0, 2.0, 2.0)),
        ((1.5, 1.5, 1.5), (64, 128, 192), (48, 96, 144), (4 / 3, 4 / 3, 4 / 3)),
        ((2.0, 2.0, 2.0), (32, 64, 96), (32, 64, 96), (1.0, 1.0, 1.0)),
        ((1.0, 2.0, 3.0), (32, 64, 96), (16, 64, 144), (2.0, 1.0, 2 / 3)),
        ((1.5, 1.5, 1.5), (96, 96, 96), (80, 80, 80), (1.2, 1.2, 1.2)),  # 4.5 times 16 voxels of 2 mm: rounded up
    ],
)
def test_the_network_sees_voxels_of_its_own_size_whatever_the_grid(
    spacing_mm: tuple[float, ...],
    sides: tuple[int, ...],
    seen_sides: tuple[int, ...],
    ddf_vox: tuple[float, ...],
) -> None:
    seen: list[torch.Size] = []

    def shift_by_one(image: Tensor) -> Tensor:
        seen.append(image.shape)
        return torch.ones(1, 3, *image.shape[2:])

    affine = make_affine(sides, spacing_mm, angles_deg=(10, -20, 30))  # type: ignore[arg-type]
    image = MetaTensor(torch.rand(1, 2, *sides), affine=affine)
    found_vox = RegistrationInferer(network_spacing_mm=2.0)(image, shift_by_one)  # type: ignore[arg-type]
    assert seen == [torch.Size([1, 2, *seen_sides])]
    expected_vox = torch.tensor(ddf_vox).view(1, 3, 1, 1, 1).expand(1, 3, *sides)
    torch.testing.assert_close(found_vox, expected_vox)


def test_a_grid_whose_voxel_size_is_unknown_is_refused(image: Tensor) -> None:
    with pytest.raises(ValueError, match="inputs: expected a MetaTensor, whose affine gives the voxel size"):
        RegistrationInferer(network_spacing_mm=2.0)(image, Network())


def test_the_time_of_the_network_is_told_from_that_of_the_optimisation() -> None:
    def optimization(ddf_vox: Tensor, image: Tensor, spacing_mm: list[float], mask: Tensor | None) -> Tensor:
        time.sleep(0.05)
        return ddf_vox

    infer = RegistrationInferer(refine="field", instance_optimization=optimization)  # type: ignore[arg-type]
    infer(MetaTensor(torch.rand(1, 2, *SHAPE), affine=torch.eye(4)), Network())
    assert list(infer.seconds_by_step) == ["Network", "InstanceOptimization"]
    assert infer.seconds_by_step["InstanceOptimization"] >= 0.05
    RegistrationInferer()(torch.rand(1, 2, *SHAPE), Network())
    assert infer.seconds_by_step["Network"] < 1.0


def test_both_directions_are_asked_in_every_pass_unless_the_field_is_optimised(image: Tensor) -> None:
    seen: list[Tensor] = []

    def network(pair: Tensor) -> Tensor:
        seen.append(pair)
        return torch.zeros(1, 3, *SHAPE)

    def optimization(ddf_vox: Tensor, *_: object) -> Tensor:
        return ddf_vox

    pair = MetaTensor(image[:1], affine=torch.eye(4))
    RegistrationInferer(antisymmetric=True, num_passes=3)(pair, network)  # type: ignore[arg-type]
    assert len(seen) == 4  # the second pass gains nothing
    assert torch.equal(seen[0], image[:1])
    assert torch.equal(seen[1], image[:1].flip(1))
    seen.clear()
    RegistrationInferer(refine="field", antisymmetric=True, num_passes=3, instance_optimization=optimization)(  # type: ignore[arg-type]
        pair, network
    )
    assert len(seen) == 1


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


@pytest.mark.parametrize("amp", [False, True])
def test_mixed_precision_is_that_of_the_network_only(image: Tensor, amp: bool) -> None:
    seen: list[torch.dtype] = []

    def multiply(batch: Tensor) -> Tensor:
        seen.append((batch.flatten(2) @ batch.flatten(2).mT).dtype)
        return torch.zeros(len(batch), 3, *batch.shape[2:])

    ddf_vox = RegistrationInferer(amp=amp, antisymmetric=True)(image, multiply)  # type: ignore[arg-type]
    assert seen == [torch.bfloat16 if amp else torch.float32] * 2 * len(image)
    assert ddf_vox.dtype == torch.float32
    assert (image.flatten(2) @ image.flatten(2).mT).dtype == torch.float32


def test_a_gpu_has_mixed_precision_and_a_processor_if_it_says_so() -> None:
    assert has_mixed_precision(torch.device("cuda:1"))
    assert has_mixed_precision("cuda")
    flags = Path("/proc/cpuinfo").read_text().split() if Path("/proc/cpuinfo").exists() else []
    expected = "avx512_bf16" in flags or "amx_tile" in flags
    assert has_mixed_precision(torch.device("cpu")) == expected
