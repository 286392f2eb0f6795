"""Fixtures of the hosts' tests."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk


@pytest.fixture(scope="session")
def noise(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Data set of pairs of small random scans with random landmarks: the zoo tests on noise."""
    folder = tmp_path_factory.mktemp("noise")
    rng = np.random.default_rng(0)
    pairs = {}
    for section, count in (("training", 2), ("validation", 2), ("test", 2)):
        pairs[section] = [{"name": f"{section}{number}"} for number in range(count)]
        for pair in pairs[section]:
            for key in ("fixed", "moving"):
                pair |= {key: f"{pair['name']}_{key}.nii.gz", f"{key}_landmarks": f"{pair['name']}_{key}.csv"}
                scan = sitk.GetImageFromArray(rng.integers(-1000, 400, (32, 36, 40)).astype(np.int16))
                scan.SetSpacing((6.0, 5.0, 7.0))
                sitk.WriteImage(scan, folder / pair[key])
                points = rng.uniform(40, 160, (10, 3))
                np.savetxt(folder / pair[f"{key}_landmarks"], points, delimiter=",", header="x,y,z", comments="")
    (folder / "pairs.json").write_text(json.dumps(pairs))
    return folder
