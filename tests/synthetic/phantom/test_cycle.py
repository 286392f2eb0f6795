from __future__ import annotations

import numpy as np
import pytest

from bundle.synthetic.phantom.cycle import PhantomPhase, phantom_cycle


@pytest.fixture(scope="module")
def phases() -> list[PhantomPhase]:
    return list(phantom_cycle(2, phases=4, spacing_mm=(5.0, 5.0, 6.0), diaphragm_mm=(12.0, 16.0), body_scale=0.5))


def test_phases_share_a_grid_and_are_named_by_their_share_of_the_cycle(phases: list[PhantomPhase]) -> None:
    assert [phase.name for phase in phases] == ["0", "25", "50", "75"]
    assert len({phase.scan.shape for phase in phases}) == 1
    assert all(np.array_equal(phase.affine, phases[0].affine) for phase in phases)


def test_lungs_are_largest_at_inhale_and_smallest_at_exhale(phases: list[PhantomPhase]) -> None:
    volumes = [int(phase.mask.sum()) for phase in phases]
    assert volumes[0] == max(volumes)
    assert volumes[2] == min(volumes)
    assert volumes[2] < 0.9 * volumes[0]


def test_the_diaphragm_rises_by_the_whole_breath_and_back(phases: list[PhantomPhase]) -> None:
    heights = np.stack([phase.landmarks_mm[:, 2] for phase in phases]) - phases[0].landmarks_mm[:, 2]
    assert 5.0 < heights[2].max() < 16.5  # landmarks lie above the diaphragm
    np.testing.assert_allclose(heights[1], heights[3], atol=1.0)  # half of it on both ways, but for the swirl
    np.testing.assert_allclose(heights[1], heights[2] / 2, atol=1.5)


def test_tissue_moves_on_loops(phases: list[PhantomPhase]) -> None:
    down, up = phases[1].landmarks_mm, phases[3].landmarks_mm
    assert np.linalg.norm(down - up, axis=1).max() > 0.5


def test_landmarks_lie_in_the_lungs_of_every_phase(phases: list[PhantomPhase]) -> None:
    for phase in phases:
        points = np.concatenate([phase.landmarks_mm, np.ones((len(phase.landmarks_mm), 1))], axis=1)
        index = np.rint(points @ np.linalg.inv(phase.affine).T)[:, :3].astype(int)
        assert phase.mask[tuple(index.T)].mean() > 0.97


def test_equal_arguments_give_equal_phases(phases: list[PhantomPhase]) -> None:
    again = next(phantom_cycle(2, phases=4, spacing_mm=(5.0, 5.0, 6.0), diaphragm_mm=(12.0, 16.0), body_scale=0.5))
    np.testing.assert_array_equal(again.scan, phases[0].scan)
