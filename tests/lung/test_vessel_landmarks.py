from __future__ import annotations

import torch

from bundle.lung.vessel_landmarks import vessel_landmarks_vox

STEP_MM = (1.5, 2.0, 2.5)


def scan_with_spots(spots: list[tuple[int, int, int]]) -> tuple[torch.Tensor, torch.Tensor]:
    hu, mask = torch.full((60, 50, 40), -850.0), torch.zeros(60, 50, 40)
    mask[5:55, 5:45, 5:35] = 1
    for i, j, k in spots:
        hu[i - 1 : i + 2, j - 1 : j + 2, k - 1 : k + 2] = -100.0
        hu[i, j, k] = 0.0
    return hu, mask


def test_bright_spots_are_found_and_those_at_the_pleura_left_out() -> None:
    deep = [(20, 20, 15), (40, 30, 20), (25, 35, 25)]
    hu, mask = scan_with_spots([*deep, (7, 20, 20), (30, 25, 33)])
    found = vessel_landmarks_vox(hu, mask, step_mm=STEP_MM, count=3, pleura_mm=6.0, seed=0)
    assert sorted(map(tuple, found.tolist())) == sorted(deep)


def test_no_more_than_asked_and_spread_over_the_lungs() -> None:
    spots = [(i, j, k) for i in range(12, 50, 6) for j in range(10, 42, 6) for k in range(10, 32, 6)]
    hu, mask = scan_with_spots(spots)
    found = vessel_landmarks_vox(hu, mask, step_mm=STEP_MM, count=12, pleura_mm=3.0, seed=1)
    assert len(found) == 12
    gaps = torch.cdist(found * torch.tensor(STEP_MM), found * torch.tensor(STEP_MM)) + 1e3 * torch.eye(12)
    assert float(gaps.min()) > 12.0
