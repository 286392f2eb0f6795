from __future__ import annotations

import pytest
import torch

from bundle.losses import LocalCrossCorrelationLoss
from bundle.metrics import LNCCMetric

SHAPE = (1, 12, 13, 14)


def noise(seed: int) -> torch.Tensor:
    return torch.rand(SHAPE, generator=torch.Generator().manual_seed(seed))


def test_a_scan_matches_itself_and_its_linear_images() -> None:
    metric = LNCCMetric()
    scan = noise(0)
    metric(y_pred=[scan, 0.2 + 0.5 * scan, 1 - scan], y=[scan] * 3)
    inner = metric.get_buffer()
    assert inner.shape == (3, 1)
    assert inner.min().item() > 0.98
    assert metric.aggregate().item() == pytest.approx(inner.mean().item())


def test_unrelated_scans_hardly_correlate_and_a_mask_chooses_where_to_look() -> None:
    fixed, other = noise(1), noise(2)
    mask = torch.zeros(SHAPE)
    mask[:, :6] = 1
    half = torch.where(mask > 0, fixed, other)
    inside, whole = LNCCMetric(window_vox=3), LNCCMetric(window_vox=3)
    inside(y_pred=[half], y=[fixed], mask=[mask])
    whole(y_pred=[half], y=[fixed])
    assert inside.aggregate().item() > whole.aggregate().item() + 0.2


def test_score_is_the_training_loss_without_its_sign() -> None:
    warped, fixed = noise(3), noise(3) + 0.3 * noise(4)
    metric = LNCCMetric(window_vox=5)
    metric(y_pred=warped[None], y=fixed[None])
    loss = LocalCrossCorrelationLoss(window_vox=5)(warped[None], fixed[None])
    assert metric.aggregate().item() == pytest.approx(-loss.item())
