from __future__ import annotations

import pytest
import torch
from monai.networks.blocks import Warp
from torch import Tensor

from bundle.inferers.network_passes import NetworkPasses, network_sides, resized
from tests.inferers.pairs import moved_pair, waves_vox

SIDES = (32, 32, 32)


def shift_vox(value: float) -> Tensor:
    """A ddf (1, 3, 32, 32, 32) along the first axis."""
    ddf_vox = torch.zeros(1, 3, *SIDES)
    ddf_vox[:, 0] = value
    return ddf_vox


class Oracle:
    """A network that gives one answer after the other."""

    def __init__(self, answers: list[Tensor]) -> None:
        self.answers = list(answers)
        self.seen: list[Tensor] = []

    def __call__(self, image: Tensor) -> Tensor:
        self.seen.append(image)
        return self.answers[len(self.seen) - 1]


def translated_pair(shift: int) -> Tensor:
    """(1, 2, 32, 32, 32): fixed(p) = moving(p + shift), texture that fades to zero at the border."""
    generator = torch.Generator().manual_seed(0)
    texture = torch.nn.functional.avg_pool3d(torch.rand(1, 1, 34, 34, 34, generator=generator), 3, 1)
    window = torch.hann_window(32)
    moving = texture * window.view(-1, 1, 1) * window.view(-1, 1) * window
    return torch.cat([moving.roll(-shift, dims=2), moving], dim=1)


def test_one_pass_is_the_networks_own_answer() -> None:
    image, answer = translated_pair(2), torch.rand(1, 3, *SIDES)
    network = Oracle([answer])
    assert torch.equal(NetworkPasses()(network, image, None), answer)
    assert torch.equal(network.seen[0], image)


def test_a_further_pass_sees_the_warped_scan_and_its_answer_is_composed() -> None:
    image, generator = moved_pair(waves_vox()), torch.Generator().manual_seed(1)
    first, second = (torch.rand(1, 3, *image.shape[2:], generator=generator) * 0.01 for _ in range(2))
    first = first + 0.9 * waves_vox()
    network = Oracle([first, second + 0.1 * waves_vox()])
    found = NetworkPasses(num_passes=2)(network, image, None)
    warp = Warp(mode="bilinear", padding_mode="border")
    torch.testing.assert_close(network.seen[1], torch.cat([image[:, :1], warp(image[:, 1:], first)], dim=1))
    rest = second + 0.1 * waves_vox()
    torch.testing.assert_close(found, rest + warp(first, rest), atol=1e-5, rtol=0)


@pytest.mark.parametrize("first", [2.0, 1.0])
def test_a_pass_that_lowers_the_lncc_is_left_out_and_ends_the_passes(first: float) -> None:
    network = Oracle([shift_vox(first), shift_vox(2.0 - first), shift_vox(1.0), shift_vox(0.0)])
    found = NetworkPasses(num_passes=9)(network, translated_pair(2), None)
    torch.testing.assert_close(found, shift_vox(2.0))
    assert len(network.seen) == (2 if first == 2.0 else 3)


def test_the_lncc_is_that_of_the_mask() -> None:
    image, mask = translated_pair(2), torch.zeros(1, 1, *SIDES)
    mask[..., 22:] = 1.0
    image[:, 1, ..., :16] = image[:, 0, ..., :16]  # outside the mask nothing moves
    better_inside = Oracle([shift_vox(0.0), shift_vox(2.0)])
    torch.testing.assert_close(NetworkPasses(num_passes=2)(better_inside, image, None, mask), shift_vox(2.0))
    better_outside = Oracle([shift_vox(0.0), shift_vox(2.0)])
    torch.testing.assert_close(NetworkPasses(num_passes=2)(better_outside, image, None, mask.flip(4)), shift_vox(0.0))


def test_both_directions_give_zero_for_identical_scans_whatever_the_network_answers() -> None:
    def network(image: Tensor) -> Tensor:
        return torch.rand(1, 3, *SIDES, generator=torch.Generator().manual_seed(3)) * 9 + image[:, :1]

    scan = translated_pair(0)
    assert NetworkPasses(antisymmetric=True, num_passes=3)(network, scan, None).abs().max() == 0


def test_both_directions_give_the_inverse_for_swapped_scans() -> None:
    image = moved_pair(waves_vox())

    def network(seen: Tensor) -> Tensor:
        return waves_vox() * (1.0 if torch.equal(seen, image) else -0.7)

    passes = NetworkPasses(antisymmetric=True)
    forth, back = passes(network, image, None), passes(network, image.flip(1), None)
    inner = (slice(None), slice(None), *[slice(4, -4)] * 3)
    round_trip = forth + Warp(mode="bilinear", padding_mode="border")(back, forth)
    assert forth.abs().max() > 0.5
    assert round_trip[inner].abs().max() < 0.02 * forth.abs().max()


@pytest.mark.parametrize(
    ("grid_mm", "sides"),
    [
        (1.0, [48, 64, 80, 112, 128]),  # 2, 1.54, 1.19, 0.91, 0.8 mm, as close as multiples of 16 allow
        (1.5, [80, 96, 128, 128, 128]),  # 2, 1.54, 1.2 mm
        (3.0, [144, 144, 144, 144, 144]),  # 2 mm
    ],
)
def test_the_voxels_of_further_passes_are_smaller_until_those_of_the_grid(grid_mm: float, sides: list[int]) -> None:
    side = 96
    seen: list[int] = []

    def halve(image: Tensor) -> Tensor:
        """Half of what is left of a shift by 4 voxels of the grid."""
        seen.append(image.shape[2])
        ddf_vox = torch.zeros(1, 3, *image.shape[2:])
        ddf_vox[:, 0] = 0.5 ** len(seen) * 4 * image.shape[2] / side
        return ddf_vox

    texture = torch.rand(1, 1, 1, side, side, generator=torch.Generator().manual_seed(0))
    profile = torch.hann_window(side) * (1 + torch.sin(torch.arange(side) / 9))
    moving = texture * profile.view(-1, 1, 1)
    image = torch.cat([moving.roll(-4, dims=2), moving], dim=1)
    NetworkPasses(num_passes=5, network_spacing_mm=2.0)(halve, image, [grid_mm] * 3)
    assert seen == sides


def test_a_whole_number_of_passes_is_required() -> None:
    for number in (0, -1, 2.5, "2", None, True):
        with pytest.raises(ValueError, match="num_passes: expected a whole number above 0, got"):
            NetworkPasses(num_passes=number)  # type: ignore[arg-type]


def test_the_box_stays_where_the_voxels_change() -> None:
    assert network_sides([64, 128, 192], [1.5, 1.5, 1.5], 2.0) == [48, 96, 144]
    assert network_sides([64, 128, 192], None, 2.0) == [64, 128, 192]
    assert network_sides([64, 128, 192], [1.5, 1.5, 1.5], None) == [64, 128, 192]
    volume = torch.arange(32.0).view(1, 1, -1, 1, 1).expand(1, 1, 32, 16, 16)
    torch.testing.assert_close(resized(volume, [16, 16, 16])[0, 0, :, 0, 0], torch.arange(16) * 2 + 0.5)
    finer = resized(volume, [64, 16, 16])[0, 0, :, 0, 0]
    torch.testing.assert_close(finer[1:-1], torch.arange(1, 63) / 2 - 0.25)
