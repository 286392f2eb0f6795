"""The optimised network equals the plain one, with the released weights, in its ddfs and gradients."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from bundle.networks import RRN
from tests.networks.plain_rrn import plain_levels

WEIGHTS = Path(__file__).parents[2] / "models" / "model.pt"
TOLERANCE = 1e-4
SHAPES = [(2, 32, 48, 16), (1, 16, 80, 48)]


def smooth_pair(shape: tuple[int, ...], dtype: torch.dtype = torch.float32) -> Tensor:
    """Two scans (B, 2, H, W, D) in [0, 1] with structures of a few voxels, as scans have."""
    coarse = torch.rand((shape[0], 2, *(side // 4 for side in shape[1:])), generator=torch.Generator().manual_seed(0))
    return F.interpolate(coarse, size=shape[1:], mode="trilinear").to(dtype)


def network_of(neighbourhood: Literal["cube", "cityblock"]) -> RRN:
    """Released weights; the smaller neighbourhood takes the weights of its offsets."""
    network = RRN(neighbourhood=neighbourhood)
    weights = {name: value.float() for name, value in torch.load(WEIGHTS, weights_only=True).items()}
    if neighbourhood == "cityblock":
        steps = [(i, j, k) for i in range(-2, 3) for j in range(-2, 3) for k in range(-2, 3)]
        near = [n for n, step in enumerate(steps) if sum(map(abs, step)) <= 2]
        for name, value in network.state_dict().items():
            if weights[name].shape != value.shape:
                first = 0 if name.startswith("top_estimator") else 32 + 3  # after the context and the ddf
                others = [*range(first), *(first + n for n in near), *range(first + 125, weights[name].shape[1])]
                weights[name] = weights[name][:, others]
    network.load_state_dict(weights)
    return network


@torch.no_grad()
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("neighbourhood", ["cube", "cityblock"])
def test_every_level_of_the_released_network_equals_the_plain_one(
    shape: tuple[int, ...], neighbourhood: Literal["cube", "cityblock"]
) -> None:
    network = network_of(neighbourhood)
    image = smooth_pair(shape)
    for found, expected in zip(network.forward_levels(image), plain_levels(network, image), strict=True):
        assert expected.any()
        torch.testing.assert_close(found, expected, atol=TOLERANCE, rtol=TOLERANCE)


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("neighbourhood", ["cube", "cityblock"])
def test_the_gradient_of_every_parameter_equals_the_plain_one(
    neighbourhood: Literal["cube", "cityblock"], training: bool
) -> None:
    network = network_of(neighbourhood).train(training)
    image = smooth_pair((2, 32, 16, 48)).requires_grad_()
    wanted = [image, *network.parameters()]
    expected = torch.autograd.grad(plain_levels(network, image)[-1].square().mean(), wanted)
    found = torch.autograd.grad(network(image).square().mean(), wanted)
    for one, other in zip(found, expected, strict=True):
        assert other.any()
        assert (one - other).norm() <= TOLERANCE * other.norm()
