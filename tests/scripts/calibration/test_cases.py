from __future__ import annotations

from collections import Counter
from pathlib import Path

import torch

from scripts.calibration.cases import SMALL, list_cases, phantom


def test_there_are_sixty_of_each_and_names_are_unique() -> None:
    cases = list(list_cases(Path("data")))
    assert len({case.name for case in cases}) == len(cases)
    kinds = Counter(case.kind.partition(":")[0] for case in cases)
    assert kinds.keys() == {"good", "failure"}
    assert min(kinds.values()) >= 60


def test_without_real_scans_there_are_phantoms_only() -> None:
    assert all("phantom" in case.name for case in list_cases(None))


def test_phantoms_are_small_and_reproducible() -> None:
    fixed, moving = phantom(1000)
    torch.testing.assert_close(fixed.affine[:3, :3].norm(dim=0), torch.tensor(SMALL["spacing_mm"]).double())
    phantom.cache_clear()
    again, _ = phantom(1000)
    assert torch.equal(fixed.as_tensor(), again.as_tensor())
    assert moving.shape[0] == 1
