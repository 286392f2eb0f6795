from itertools import product

import numpy as np
import pytest
import torch
from monai.losses import LocalNormalizedCrossCorrelationLoss
from torch import Tensor

from bundle.losses import LocalCrossCorrelationLoss
from bundle.losses.local_cross_correlation import _box_sum, _spread

SHAPE = (2, 1, 7, 8, 9)


def noise(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def squared_correlation(pred: np.ndarray, target: np.ndarray, window_vox: int) -> np.ndarray:
    """Definition, voxel by voxel (H, W, D), with windows cropped to the image."""
    radius, result = window_vox // 2, np.zeros(pred.shape)
    for voxel in np.ndindex(pred.shape):
        window = tuple(slice(max(at - radius, 0), at + radius + 1) for at in voxel)
        result[voxel] = np.corrcoef(pred[window].ravel(), target[window].ravel())[0, 1] ** 2
    return result


@pytest.mark.parametrize("stride_vox", [1, 2, 3])
@pytest.mark.parametrize("window_vox", [3, 5, 7])
def test_every_window_has_the_squared_correlation_of_its_voxels(window_vox: int, stride_vox: int) -> None:
    pred, target = noise(*SHAPE), noise(*SHAPE, seed=1)
    loss = LocalCrossCorrelationLoss(window_vox=window_vox, stride_vox=stride_vox, reduction="none")
    expected = [
        squared_correlation(p, t, window_vox) for p, t in zip(pred[:, 0].numpy(), target[:, 0].numpy(), strict=True)
    ]
    every = slice(None, None, stride_vox)
    np.testing.assert_allclose(-loss(pred, target)[:, 0].numpy(), np.stack(expected)[:, every, every, every], atol=1e-3)


@pytest.mark.parametrize(("a", "b"), [(1.0, 0.0), (0.5, 0.2), (-1.0, 1.0)])
def test_an_affine_function_of_an_image_scores_minus_one_up_to_the_border(a: float, b: float) -> None:
    image = noise(*SHAPE)
    result = LocalCrossCorrelationLoss(reduction="none")(a * image + b, image)
    torch.testing.assert_close(result, -torch.ones(SHAPE), atol=2e-4, rtol=0)
    assert LocalCrossCorrelationLoss()(a * image + b, image).item() == pytest.approx(-1, abs=2e-4)


def test_a_large_offset_costs_no_digits() -> None:
    image = noise(*SHAPE)
    assert LocalCrossCorrelationLoss()(image + 100, image).item() == pytest.approx(-1, abs=1e-3)


def test_inside_it_equals_monai() -> None:
    pred, target = noise(1, 1, 11, 12, 13), noise(1, 1, 11, 12, 13, seed=1)
    ours = LocalCrossCorrelationLoss(reduction="none")(pred, target)
    theirs = LocalNormalizedCrossCorrelationLoss(kernel_size=5, reduction="none")(pred, target)
    torch.testing.assert_close(ours[..., 2:-2, 2:-2, 2:-2], theirs[..., 2:-2, 2:-2, 2:-2], atol=1e-4, rtol=1e-3)


@pytest.mark.parametrize("level", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("target", [torch.full(SHAPE, 0.7), noise(*SHAPE)], ids=["constant", "noise"])
def test_constant_patches_score_zero_with_a_finite_gradient(level: float, target: Tensor) -> None:
    pred = torch.full(SHAPE, level, requires_grad=True)
    loss = LocalCrossCorrelationLoss()(pred, target)
    loss.backward()
    assert loss.item() == pytest.approx(0, abs=1e-4)
    assert torch.isfinite(pred.grad).all()


def test_a_constant_half_keeps_the_gradient_bounded() -> None:
    pred = noise(*SHAPE)
    pred[:, :, :4] = 0.25
    pred.requires_grad_()
    LocalCrossCorrelationLoss()(pred, noise(*SHAPE, seed=1)).backward()
    assert pred.grad.abs().max() * pred.numel() < 1e3


def test_the_mask_weighs_voxels() -> None:
    pred, target = noise(*SHAPE), noise(*SHAPE, seed=1)
    mask = noise(*SHAPE, seed=2)
    values = LocalCrossCorrelationLoss(reduction="none")(pred, target)
    torch.testing.assert_close(LocalCrossCorrelationLoss()(pred, target, mask=mask), (values * mask).sum() / mask.sum())
    masked = LocalCrossCorrelationLoss(reduction="none")(pred, target, mask=mask[:1])
    torch.testing.assert_close(masked, values * mask[:1])


def test_an_empty_mask_scores_zero_with_a_zero_gradient() -> None:
    pred = noise(*SHAPE).requires_grad_()
    loss = LocalCrossCorrelationLoss()(pred, noise(*SHAPE, seed=1), mask=torch.zeros(SHAPE))
    loss.backward()
    assert loss.item() == 0
    assert not pred.grad.any()


def test_it_is_float32_under_autocast_and_for_half_precision_images() -> None:
    pred, target = noise(*SHAPE).bfloat16(), noise(*SHAPE, seed=1).bfloat16()
    expected = LocalCrossCorrelationLoss()(pred.float(), target.float())
    with torch.autocast("cpu", torch.bfloat16):
        under_autocast = LocalCrossCorrelationLoss()(pred, target)
    torch.testing.assert_close(under_autocast, expected, atol=0, rtol=0)


@pytest.mark.parametrize("stride_vox", [1, 2, 3])
@pytest.mark.parametrize("window_vox", [3, 5])
def test_gradcheck_of_both_images(window_vox: int, stride_vox: int) -> None:
    pred, target = (noise(1, 1, 4, 5, 6, seed=seed, dtype=torch.float64).requires_grad_() for seed in (0, 1))
    mask = noise(1, 1, 4, 5, 6, seed=2, dtype=torch.float64)
    loss = LocalCrossCorrelationLoss(window_vox=window_vox, stride_vox=stride_vox)
    assert torch.autograd.gradcheck(loss, (pred, target, mask))


@pytest.mark.parametrize("stride_vox", [2, 3])
def test_views_that_begin_at_each_voxel_of_a_stride_compare_every_window_once(stride_vox: int) -> None:
    shape = (1, 1, 12, 16, 17)
    pred, target = noise(*shape, dtype=torch.float64), noise(*shape, seed=1, dtype=torch.float64)
    mask = torch.zeros(shape)
    mask[..., 4:10, 4:10, 4:10] = 1  # whose windows reach no border of a view; each view has as many of them
    loss = LocalCrossCorrelationLoss(window_vox=5, stride_vox=stride_vox)
    means = [
        loss(*(volume[..., h:, w:, d:] for volume in (pred, target, mask)))
        for h, w, d in product(range(stride_vox), repeat=3)
    ]
    expected = LocalCrossCorrelationLoss(window_vox=5)(pred, target, mask)
    torch.testing.assert_close(torch.stack(means).mean(), expected)
    assert torch.stack(means).std() > 1e-3  # each compares windows of its own


@pytest.mark.parametrize("radius_vox", [0, 1, 3])
@pytest.mark.parametrize("stride_vox", [1, 2, 3, 9])
def test_spreading_windows_is_the_adjoint_of_summing_voxels(radius_vox: int, stride_vox: int) -> None:
    voxels = noise(*SHAPE, dtype=torch.float64)
    sums = _box_sum(voxels, radius_vox, stride_vox)
    windows = noise(*sums.shape, seed=1, dtype=torch.float64)
    torch.testing.assert_close((sums * windows).sum(), (voxels * _spread(windows, radius_vox, stride_vox, SHAPE)).sum())


def test_bad_options_and_shapes_are_named() -> None:
    with pytest.raises(ValueError, match="window_vox: expected an odd number of voxels, got 4"):
        LocalCrossCorrelationLoss(window_vox=4)
    with pytest.raises(ValueError, match="stride_vox: expected 1 or more voxels, got 0"):
        LocalCrossCorrelationLoss(stride_vox=0)
    with pytest.raises(ValueError, match="reduction: expected 'mean' or 'none', got 'sum'"):
        LocalCrossCorrelationLoss(reduction="sum")
    with pytest.raises(ValueError, match=r"pred, target.*\(1, 1, 4, 5, 6\) and \(1, 1, 4, 5, 7\)"):
        LocalCrossCorrelationLoss()(noise(1, 1, 4, 5, 6), noise(1, 1, 4, 5, 7))
