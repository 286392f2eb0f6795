import math

import pytest
import torch
import torch.nn.functional as F
from monai.networks.blocks import Warp
from torch import Tensor

from bundle.geometry import identity_vox, upsample_ddf, warp
from bundle.losses import LocalCrossCorrelationLoss, RegistrationLoss, TotalVariationLoss
from bundle.networks import RRN

SHAPE = (16, 32, 48)


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed))


@pytest.fixture(scope="module")
def network() -> RRN:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return RRN().eval()


# The level rule: how a field of one level reads on the next.


@pytest.mark.parametrize("factor", [2, 4])
def test_a_constant_field_survives_upsampling_everywhere(factor: int) -> None:
    constant = torch.tensor([1.0, -2.0, 0.5]).view(1, 3, 1, 1, 1)
    upsampled = upsample_ddf(constant.expand(1, 3, 2, 3, 4), factor)
    torch.testing.assert_close(upsampled, (factor * constant).expand(1, 3, 2 * factor, 3 * factor, 4 * factor))


@pytest.mark.parametrize("factor", [2, 4])
def test_a_linear_field_survives_upsampling_between_the_coarse_centres(factor: int) -> None:
    matrix = torch.tensor([[0.1, -0.2, 0.3], [0.0, 0.4, 0.1], [-0.3, 0.2, 0.2]])

    def linear_ddf_vox(shape: list[int]) -> Tensor:
        return torch.einsum("nm,bmhwd->bnhwd", matrix, identity_vox(shape, matrix))

    upsampled = upsample_ddf(linear_ddf_vox([3, 4, 5]), factor)
    inner = (..., *(slice((side - 1) * factor + 1) for side in (3, 4, 5)))
    expected = linear_ddf_vox([3 * factor, 4 * factor, 5 * factor])  # vectors and positions both grow by the factor
    torch.testing.assert_close(upsampled[inner], expected[inner])


@pytest.mark.parametrize("steps", [1, 2])
def test_fields_of_a_level_sit_where_its_stride_two_convolutions_look(steps: int) -> None:
    centre = torch.zeros(1, 1, 3, 3, 3)
    centre[..., 1, 1, 1] = 1
    ddf_vox = coarse = noise(1, 3, 8, 12, 16)
    for _ in range(steps):
        coarse = torch.cat([F.conv3d(axis, centre, stride=2, padding=1) for axis in coarse.split(1, dim=1)], dim=1)
    factor = 2**steps
    upsampled = upsample_ddf(coarse / factor, factor)
    every = (..., *(slice(None, None, factor),) * 3)
    torch.testing.assert_close(upsampled[every], ddf_vox[every])


def test_features_are_warped_as_monai_warps() -> None:
    volume, ddf_vox = noise(2, 5, 6, 7, 8), 8 * noise(2, 3, 6, 7, 8, seed=1) - 4
    expected = Warp(mode="bilinear", padding_mode="border")(volume, ddf_vox)
    torch.testing.assert_close(warp(volume, ddf_vox), expected, atol=1e-5, rtol=1e-5)


# The network


def test_it_has_the_specified_number_of_parameters(network: RRN) -> None:
    assert sum(parameter.numel() for parameter in network.parameters()) == 16_652_076


@torch.no_grad()
def test_every_level_has_a_float32_field_and_the_last_is_the_output(network: RRN) -> None:
    image = noise(2, 2, *SHAPE)
    levels = network.forward_levels(image)
    assert [tuple(ddf.shape[2:]) for ddf in levels] == [(1, 2, 3), (2, 4, 6), (4, 8, 12), (4, 8, 12), SHAPE]
    assert all(ddf.shape[:2] == (2, 3) and ddf.dtype == torch.float32 for ddf in levels)
    assert torch.equal(network(image), levels[-1])
    assert torch.equal(upsample_ddf(levels[-2], 4), levels[-1])


@torch.no_grad()
def test_samples_of_a_batch_do_not_know_each_other(network: RRN) -> None:
    image = noise(2, 2, *SHAPE)
    alone = torch.cat([network(sample[None]) for sample in image])
    torch.testing.assert_close(network(image), alone, atol=1e-4, rtol=1e-4)


@torch.no_grad()
def test_untrained_it_moves_less_than_half_a_voxel(network: RRN) -> None:
    displacement_vox = network(noise(1, 2, *SHAPE)).abs()
    assert 0 < displacement_vox.mean() < 0.5


@pytest.mark.parametrize(
    "options", [{}, {"neighbourhood": "cityblock"}, {"use_cost_volume": False}], ids=["cube", "cityblock", "ablation"]
)
def test_every_parameter_receives_a_gradient(options: dict) -> None:
    network = RRN(**options)
    network(noise(1, 2, 32, 16, 48)).square().mean().backward()
    without = [name for name, parameter in network.named_parameters() if not parameter.grad.any()]
    assert without == []


@torch.no_grad()
def test_under_autocast_fields_stay_float32_and_close(network: RRN) -> None:
    image = noise(1, 2, *SHAPE)
    expected = network.forward_levels(image)
    with torch.autocast("cpu", torch.bfloat16):
        levels = network.forward_levels(image)
    for ddf, reference in zip(levels, expected, strict=True):
        assert ddf.dtype == torch.float32
        torch.testing.assert_close(ddf, reference, atol=0.02, rtol=0)


@pytest.mark.parametrize(("axis", "name"), list(enumerate("HWD")))
def test_a_side_that_is_no_multiple_of_16_is_named(network: RRN, axis: int, name: str) -> None:
    shape = [32, 32, 32]
    shape[axis] = 40
    with pytest.raises(ValueError, match=rf"image: expected sides .* 16, got 40 along {name} \(axis {axis}\)"):
        network(torch.zeros(1, 2, *shape))


@pytest.mark.parametrize("shape", [(1, 3, 16, 16, 16), (2, 16, 16, 16)])
def test_anything_but_two_channels_is_an_error_with_the_shape(network: RRN, shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"image: expected \(B, 2, H, W, D\), fixed and moving, got .*16, 16, 16"):
        network(torch.zeros(shape))


# Learning


@pytest.mark.slow
def test_a_toy_pair_is_overfitted_to_less_than_0_3_voxel_in_30_steps() -> None:
    shift = torch.tensor([1.0, -2.0, 2.0])  # three voxels long
    texture = F.avg_pool3d(F.avg_pool3d(noise(1, 1, 44, 44, 44), 3, stride=1), 3, stride=1)
    texture = (texture - texture.min()) / (texture.max() - texture.min())
    fixed = texture[..., 4:36, 4:36, 4:36]
    moving = texture[..., 3:35, 6:38, 2:34]  # moving(p + shift) = fixed(p)
    image = torch.cat([fixed, moving], dim=1)
    label = torch.cat([image, torch.ones_like(fixed)], dim=1)
    loss = RegistrationLoss(similarity=LocalCrossCorrelationLoss(), regularization=TotalVariationLoss(), weight=0.01)

    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = RRN()
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-4)
    error_vox, steps = math.inf, 0
    while error_vox >= 0.3 and steps < 30:
        steps += 1
        ddf_vox = network(image)
        difference = ddf_vox.detach()[0] - shift.view(3, 1, 1, 1)
        error_vox = difference.norm(dim=0)[4:-4, 4:-4, 4:-4].mean().item()
        optimizer.zero_grad()
        loss(ddf_vox, label).backward()
        optimizer.step()
    assert error_vox < 0.3


@pytest.mark.parametrize("training", [True, False])
def test_nothing_in_it_reads_values_back_or_assumes_a_cpu(training: bool) -> None:
    network = RRN().to("meta").train(training)  # tensors without values: reading one raises
    ddf_vox = network(torch.zeros(2, 2, 32, 16, 48, device="meta"))
    assert ddf_vox.device.type == "meta"
    assert ddf_vox.shape == (2, 3, 32, 16, 48)
    if training:
        ddf_vox.mean().backward()
        assert all(parameter.grad is not None for parameter in network.parameters())
