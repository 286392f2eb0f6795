"""Tell from the fields of a finished benchmark how exact the landmarks are that it was scored by."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from pathlib import Path

import fire
import torch

from bundle.io import check_header, read_displacement, read_landmarks_mm
from bundle.metrics import compute_tre_mm, landmark_rms_error_mm
from scripts.benchmark.methods import FIELD, method_names
from scripts.benchmark.result import carry_by_field
from scripts.benchmark.run import pairs_with_landmarks


def landmark_errors(
    pairs_file: str,
    out: str,
    data: str,
    section: str = "test",
    methods: str | Sequence[str] = ("rrn_optimized", "elastix", "convexadam"),
    outlier_mm: float = 8.0,
) -> None:
    """Print the root mean square error, mm, of each pair's landmarks as every two of METHODS tell it.

    Args:
        pairs_file: pairs file or a folder with one, as the benchmark ran on it.
        out: folder of the benchmark.
        data: what the benchmark calls these pairs.
        section: of the pairs file.
        methods: names, separated by commas, of at least two that err independently.
        outlier_mm: landmarks further than this from all methods are left out: blunders, no scatter.
    Raises: ValueError for a pair without landmarks; FileNotFoundError for a field that is missing.
    """
    names = method_names(methods)
    for pair in pairs_with_landmarks(pairs_file, section):
        fixed_mm, moving_mm = (
            read_landmarks_mm(pair[f"{key}_landmarks"], check_header(pair[key])) for key in ("fixed", "moving")
        )
        folder = Path(out) / data / pair["name"]
        carried = {name: carry_by_field(*read_displacement(folder / name / FIELD), fixed_mm) for name in names}
        nearest_mm = torch.stack([compute_tre_mm(points, moving_mm) for points in carried.values()]).amin(dim=0)
        kept = nearest_mm <= outlier_mm
        print(f"{pair['name']}: {int(kept.sum())} of {len(kept)} landmarks")
        for first, second in combinations(names, 2):
            rms_mm = landmark_rms_error_mm(carried[first][kept], carried[second][kept], moving_mm[kept])
            print(f"    {first}, {second}: {rms_mm:.2f} mm")


if __name__ == "__main__":
    fire.Fire(landmark_errors)
