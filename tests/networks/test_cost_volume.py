from itertools import product
from typing import Literal

import pytest
import torch
from torch import Tensor

from bundle.networks import CostVolume, normalize_features

Neighbourhood = Literal["cube", "cityblock"]
SHAPE = (2, 3, 3, 4, 5)


def noise(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def offsets_vox(radius_vox: int, neighbourhood: Neighbourhood) -> list[tuple[int, ...]]:
    cube = product(range(-radius_vox, radius_vox + 1), repeat=3)
    return [step for step in cube if neighbourhood == "cube" or sum(map(abs, step)) <= radius_vox]


@pytest.mark.parametrize(
    ("radius_vox", "neighbourhood", "count"),
    [(2, "cube", 125), (2, "cityblock", 25), (1, "cube", 27), (1, "cityblock", 7)],
)
def test_each_cost_is_the_mean_product_with_a_moving_voxel_of_the_neighbourhood(
    radius_vox: int, neighbourhood: Neighbourhood, count: int
) -> None:
    fixed, warped = noise(*SHAPE), noise(*SHAPE, seed=1)
    cost_volume = CostVolume(radius_vox=radius_vox, neighbourhood=neighbourhood)
    steps = offsets_vox(radius_vox, neighbourhood)
    assert cost_volume.num_offsets == len(steps) == count

    expected = torch.zeros(2, count, *SHAPE[2:])
    for n, step in enumerate(steps):
        for at in product(*map(range, SHAPE[2:])):
            h, w, d = (a + b for a, b in zip(at, step, strict=True))
            if 0 <= h < SHAPE[2] and 0 <= w < SHAPE[3] and 0 <= d < SHAPE[4]:
                expected[(slice(None), n, *at)] = (fixed[(..., *at)] * warped[..., h, w, d]).mean(dim=1)
    torch.testing.assert_close(cost_volume(fixed, warped), expected)
    for exported in (torch.jit.script(cost_volume), torch.jit.trace(cost_volume, (fixed, warped))):
        torch.testing.assert_close(exported(fixed, warped), expected)


def test_the_cost_is_greatest_where_moving_went() -> None:
    step = (1, -2, 2)
    fixed = noise(1, 32, 8, 9, 10)
    warped = fixed.roll(step, dims=(2, 3, 4))  # warped(x + step) = fixed(x)
    best = CostVolume(radius_vox=2, neighbourhood="cube")(fixed, warped).argmax(dim=1)[0, 2:-2, 2:-2, 2:-2]
    assert (best == offsets_vox(2, "cube").index(step)).all()


def test_gradcheck_of_both_maps() -> None:
    fixed, warped = (noise(1, 2, 2, 3, 2, seed=seed, dtype=torch.float64).requires_grad_() for seed in (0, 1))
    assert torch.autograd.gradcheck(CostVolume(radius_vox=1, neighbourhood="cube"), (fixed, warped))


def test_an_unknown_neighbourhood_is_named_with_the_known_ones() -> None:
    with pytest.raises(ValueError, match=r"neighbourhood: expected one of \['cityblock', 'cube'\], got 'ball'"):
        CostVolume(radius_vox=2, neighbourhood="ball")


def test_normalisation_shares_one_mean_and_one_deviation_in_each_sample() -> None:
    fixed, warped = 3 * noise(*SHAPE) + 1, 0.5 * noise(*SHAPE, seed=1) - 2
    results = normalize_features(fixed, warped)
    for sample in range(2):
        both = torch.stack([fixed[sample], warped[sample]])
        deviation = both.var(correction=0).sqrt()
        for feature, result in zip((fixed, warped), results, strict=True):
            torch.testing.assert_close(result[sample], (feature[sample] - both.mean()) / deviation)


def test_normalisation_works_in_float32() -> None:
    fixed, warped = normalize_features(100 * noise(*SHAPE).half(), noise(*SHAPE, seed=1).half())
    assert fixed.dtype == warped.dtype == torch.float32
    assert torch.isfinite(fixed).all()


def test_normalisation_of_constant_maps_is_finite_and_so_is_its_gradient() -> None:
    fixed = torch.ones(SHAPE, requires_grad=True)
    results = normalize_features(fixed, torch.ones(SHAPE))
    sum(result.square().sum() for result in results).backward()
    assert not results[0].any()
    assert torch.isfinite(fixed.grad).all()
