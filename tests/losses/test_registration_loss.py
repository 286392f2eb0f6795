import pytest
import torch
from torch import Tensor

from bundle.losses import LocalCrossCorrelationLoss, RegistrationLoss, TotalVariationLoss

SHAPE = (8, 9, 10)


def noise(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


@pytest.fixture
def loss() -> RegistrationLoss:
    return RegistrationLoss(similarity=LocalCrossCorrelationLoss(), regularization=TotalVariationLoss(), weight=0.5)


def test_identical_scans_and_no_displacement_score_minus_one(loss: RegistrationLoss) -> None:
    image = noise(2, 1, *SHAPE)
    label = torch.cat([image, image, torch.ones_like(image)], dim=1)
    assert loss(torch.zeros(2, 3, *SHAPE), label).item() == pytest.approx(-1, abs=2e-4)


def test_the_field_pulls_moving_onto_fixed_where_the_mask_looks(loss: RegistrationLoss) -> None:
    shift = (1, -2, 2)
    shape = (12, 13, 14)
    fixed = noise(1, 1, *shape)
    moving = fixed.roll(shift, dims=(2, 3, 4))  # moving(p + shift) = fixed(p), except where the roll wraps
    mask = torch.zeros_like(fixed)
    mask[..., 4:-4, 4:-4, 4:-4] = 1  # 2 voxels of shift and 2 of the window's radius
    ddf_vox = torch.tensor(shift, dtype=torch.float32).view(1, 3, 1, 1, 1).expand(1, 3, *shape)
    label = torch.cat([fixed, moving, mask], dim=1)
    assert loss(ddf_vox, label).item() == pytest.approx(-1, abs=2e-4)
    assert loss(-ddf_vox, label).item() > -0.5


def test_the_regularization_is_weighted_and_knows_no_mask(loss: RegistrationLoss) -> None:
    label = torch.cat([noise(1, 2, *SHAPE), torch.zeros(1, 1, *SHAPE)], dim=1)  # an empty mask: no similarity
    ddf_vox = torch.zeros(1, 3, *SHAPE)
    ddf_vox[:, 1] = 0.3 * torch.arange(10.0)
    assert loss(ddf_vox, label).item() == pytest.approx(0.5 * 0.3 / 9, rel=1e-5)


def test_gradcheck_of_the_field(loss: RegistrationLoss) -> None:
    shape = (4, 5, 6)
    label = noise(1, 3, *shape, seed=1, dtype=torch.float64)
    # Off the whole voxels, where trilinear interpolation has kinks.
    ddf_vox = (0.1 + 0.8 * noise(1, 3, *shape, dtype=torch.float64)).requires_grad_()
    assert torch.autograd.gradcheck(loss, (ddf_vox, label))


def test_a_label_of_another_shape_is_named(loss: RegistrationLoss) -> None:
    with pytest.raises(ValueError, match=r"label: expected .*\(1, 3, 8, 9, 10\), got \(1, 2, 8, 9, 10\)"):
        loss(torch.zeros(1, 3, *SHAPE), torch.zeros(1, 2, *SHAPE))
