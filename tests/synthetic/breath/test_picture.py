from __future__ import annotations

from pathlib import Path

from matplotlib.image import imread

from bundle.synthetic.breath import simulate_motion
from bundle.synthetic.breath.picture import draw_simulated_motion
from tests.synthetic.breath.simulated import chest, small_breath


def test_every_sample_gets_a_column_with_picture_and_colour(tmp_path: Path) -> None:
    samples = []
    for swap in (False, True):
        parameters = small_breath(swap=swap)
        pair = simulate_motion(*chest(oblique=True), parameters)
        samples.append(pair | {"motion_parameters": parameters.to_dict()})
    for count in (1, 2):
        draw_simulated_motion(samples[:count], tmp_path / f"{count}.png")
    one, two = (imread(tmp_path / f"{count}.png") for count in (1, 2))
    assert two.shape[1] == 2 * one.shape[1]
    assert (two[..., :3].max(axis=2) - two[..., :3].min(axis=2)).max() > 0.5
    assert [path.name for path in sorted(tmp_path.iterdir())] == ["1.png", "2.png"]
