from __future__ import annotations

from pathlib import Path

import pytest
import torch
from monai.data import MetaTensor

from bundle.io import read_image
from bundle.lung import find_lungs
from bundle.synthetic.breath import RandSimulateMotiond, SimulateMotiond
from bundle.synthetic.breath.breathing import LEAST_JACOBIAN
from tests.synthetic.breath.simulated import chest

CT = Path("../shared/data/ct/lidc_0001_1.5mm.nii.gz")


def sample() -> dict[str, MetaTensor]:
    scan, mask = chest()
    return {"scan": scan, "scan_mask": mask}


def test_the_same_seed_gives_the_same_pair_and_the_parameters_replay_it() -> None:
    first, again = (
        RandSimulateMotiond("scan", diaphragm_mm=(14.0, 18.0)).set_random_state(seed=5)(sample()) for _ in range(2)
    )
    replayed = SimulateMotiond("scan")(sample() | {"motion_parameters": first["motion_parameters"]})
    for key in ("fixed", "moving", "fixed_mask", "displacement", "fixed_landmarks"):
        for other in (again, replayed):
            torch.testing.assert_close(torch.as_tensor(other[key]), torch.as_tensor(first[key]), rtol=0, atol=0)


def test_draws_follow_each_other_and_stay_without_folds_in_the_asked_range() -> None:
    simulate = RandSimulateMotiond("scan", diaphragm_mm=(14.0, 22.0), mean_mm=(13.0, 16.0)).set_random_state(seed=1)
    first, second = simulate(sample()), simulate(sample())
    assert first["motion_parameters"] != second["motion_parameters"]
    assert simulate.breathing.least_jacobian >= LEAST_JACOBIAN
    mean_mm = float((second["moving_landmarks"] - second["fixed_landmarks"]).norm(dim=1).mean())
    assert 11.0 < mean_mm < 18.0  # landmarks are not spread like the lungs' voxels


def test_a_mean_out_of_reach_is_refused() -> None:
    simulate = RandSimulateMotiond("scan", mean_mm=(90.0, 95.0)).set_random_state(seed=0)
    with pytest.raises(ValueError, match=r"mean_mm: no position gives a mean displacement within \(90\.0, 95\.0\)"):
        simulate(sample())


@pytest.mark.slow
@pytest.mark.skipif(not CT.exists(), reason=f"{CT} is absent: the simulation stays unchecked on a real scan")
def test_a_real_scan_gives_a_pair_like_dirlab_copd() -> None:
    scan = read_image(CT)
    pair = RandSimulateMotiond("scan").set_random_state(seed=1)({"scan": scan, "scan_mask": find_lungs(scan)})
    fixed, moving = pair["fixed_landmarks"], pair["moving_landmarks"]
    assert 250 <= len(fixed) <= 300
    assert 10.0 < float((moving - fixed).norm(dim=1).mean()) < 33.0
    design = torch.cat([fixed, torch.ones(len(fixed), 1, dtype=torch.float64)], dim=1)
    rest_mm = (design @ torch.linalg.lstsq(design, moving).solution - moving).norm(dim=1).mean()
    assert 2.5 < float(rest_mm) < 8.0
