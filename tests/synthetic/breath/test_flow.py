from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from bundle.synthetic.breath.flow import Lattice, integrate

LATTICE = Lattice(torch.tensor([-7.0, 12.0, -300.0], dtype=torch.float64), 4.0, (13, 11, 15))


def test_nodes_lie_where_the_affine_says_and_twice_as_dense_once_halved() -> None:
    for lattice, step_mm, shape in ((LATTICE, 4.0, (13, 11, 15)), (LATTICE.halved(), 2.0, (25, 21, 29))):
        assert lattice.points_mm().shape == (3, *shape)
        assert lattice.points_mm()[:, 1, 2, 3].tolist() == [-7 + step_mm, 12 + 2 * step_mm, -300 + 3 * step_mm]
        expected = lattice.affine() @ torch.tensor([1.0, 2.0, 3.0, 1.0], dtype=torch.float64)
        assert lattice.points_mm()[:, 1, 2, 3].tolist() == expected[:3].tolist()


def test_values_are_read_between_the_nodes() -> None:
    ramp = LATTICE.points_mm()[1:2]
    points_mm = torch.tensor([[0.0, 3.0], [17.5, 30.25], [-290.0, -271.0]])[:, :, None, None]
    torch.testing.assert_close(LATTICE.read(ramp, points_mm)[0, :, 0, 0], torch.tensor([17.5, 30.25]))


def test_a_constant_velocity_is_a_shift_and_its_inverse_the_shift_back() -> None:
    shift_mm = np.array([3.0, -2.0, 5.0], np.float32).reshape(3, 1, 1, 1)
    flow = integrate(np.broadcast_to(shift_mm, (3, *LATTICE.shape)).copy(), LATTICE)
    assert flow.lattice.shape == (25, 21, 29)
    expected = torch.from_numpy(shift_mm).expand_as(flow.forward_mm)
    torch.testing.assert_close(flow.forward_mm, expected, atol=1e-4, rtol=0)
    torch.testing.assert_close(flow.backward_mm, -expected, atol=1e-4, rtol=0)


@pytest.mark.parametrize("rate", [-0.3, 0.2])
def test_a_linear_velocity_grows_exponentially(rate: float) -> None:
    centre_mm = LATTICE.points_mm()[2].mean()
    velocity = torch.zeros(3, *LATTICE.shape)
    velocity[2] = rate * (LATTICE.points_mm()[2] - centre_mm)
    flow = integrate(velocity.numpy(), LATTICE)
    height_mm = flow.lattice.points_mm()[2] - centre_mm
    core = (slice(2, -2), slice(2, -2), slice(10, -10))  # whence no way leads out of the lattice
    for displacement_mm, sign in ((flow.forward_mm, 1), (flow.backward_mm, -1)):
        expected = (math.exp(sign * rate) - 1) * height_mm
        torch.testing.assert_close(displacement_mm[2][core], expected[core], atol=0.05, rtol=0)
    assert float(flow.forward_mm[:2].abs().max()) == 0.0


def test_points_come_back() -> None:
    points = LATTICE.points_mm()
    velocity = torch.stack(
        [3 * torch.sin(points[1] / 12), 4 * torch.cos(points[2] / 15), 3 * torch.sin(points[0] / 10)]
    )
    flow = integrate(velocity.numpy(), LATTICE)
    core = points[:, 3:-3, 3:-3, 3:-3]
    assert float((flow.exhale(core) - core).norm(dim=0).max()) > 4
    for there, back in ((flow.exhale, flow.inhale), (flow.inhale, flow.exhale)):
        assert float((back(there(core)) - core).norm(dim=0).max()) < 0.1
