from __future__ import annotations

import pytest
import torch

from bundle.metrics import landmark_rms_error_mm

NUM_POINTS = 40_000


@pytest.mark.parametrize(
    ("landmarks_mm", "first_mm", "second_mm"), [(1.2, 0.5, 0.8), (0.4, 1.5, 0.3)], ids=["rough", "fine"]
)
def test_independent_errors_are_told_apart(landmarks_mm: float, first_mm: float, second_mm: float) -> None:
    generator = torch.Generator().manual_seed(0)
    truth = 100 * torch.rand(NUM_POINTS, 3, generator=generator, dtype=torch.float64)

    def off_by(rms_mm: float) -> torch.Tensor:
        return truth + torch.randn(truth.shape, generator=generator, dtype=torch.float64) * rms_mm / 3**0.5

    first, second, landmarks = off_by(first_mm), off_by(second_mm), off_by(landmarks_mm)
    assert landmark_rms_error_mm(first, second, landmarks) == pytest.approx(landmarks_mm, rel=0.02)


def test_what_both_methods_share_counts_as_the_landmarks() -> None:
    landmarks = torch.rand(5, 3)
    shared = torch.tensor([2.0, -1.0, 2.0])
    assert landmark_rms_error_mm(landmarks + shared, landmarks + shared, landmarks) == pytest.approx(3.0, abs=1e-5)


def test_errors_that_point_apart_leave_none_for_the_landmarks() -> None:
    landmarks = torch.zeros(4, 3)
    assert landmark_rms_error_mm(landmarks + 1, landmarks - 1, landmarks) == 0


@pytest.mark.parametrize("shape", [(4, 3), (5, 2), (5,)])
def test_other_shapes_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"expected three sets \(N, 3\) with matching rows, got \(5, 3\)"):
        landmark_rms_error_mm(torch.zeros(5, 3), torch.zeros(5, 3), torch.zeros(shape))
