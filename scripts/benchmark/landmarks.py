"""Estimate the landmark error from independent methods of a finished benchmark."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from itertools import combinations
from pathlib import Path

sys.path.insert(0, str(Path(__file__).absolute().parents[2]))  # run as a file, from any folder

from scripts.benchmark.methods import FIELD, method_names
from scripts.cli import run


def landmark_errors(
    pairs_file: str,
    output_dir: str,
    data: str,
    section: str = "test",
    methods: str | Sequence[str] = ("rrn_optimized", "elastix", "convexadam"),
    outlier_mm: float = 8.0,
) -> None:
    """Print the root mean square landmark error, mm, of each pair, estimated from every two of METHODS.

    Args:
        pairs_file: pairs file of the benchmark or a folder with one.
        output_dir: folder of the benchmark.
        data: name of the data set in the benchmark.
        section: section of the pairs file.
        methods: comma-separated names of at least two methods with independent errors.
        outlier_mm: landmarks with a larger TRE for every method are excluded as outliers.
    Raises: ValueError for a pair without landmarks; FileNotFoundError for a missing field.
    """
    import torch

    from bundle.io import check_header, read_displacement, read_landmarks_mm
    from bundle.metrics import compute_tre_mm, landmark_rms_error_mm
    from scripts.benchmark.result import map_by_field
    from scripts.benchmark.run import pairs_with_landmarks

    names = method_names(methods)
    for pair in pairs_with_landmarks(pairs_file, section):
        fixed_mm, moving_mm = (
            read_landmarks_mm(pair[f"{key}_landmarks"], check_header(pair[key]), system=pair.get("landmark_system"))
            for key in ("fixed", "moving")
        )
        folder = Path(output_dir) / data / pair["name"]
        mapped_mm = {name: map_by_field(*read_displacement(folder / name / FIELD), fixed_mm) for name in names}
        least_mm = torch.stack([compute_tre_mm(points, moving_mm) for points in mapped_mm.values()]).amin(dim=0)
        kept = least_mm <= outlier_mm
        print(f"{pair['name']}: {int(kept.sum())} of {len(kept)} landmarks")
        for first, second in combinations(names, 2):
            rms_mm = landmark_rms_error_mm(mapped_mm[first][kept], mapped_mm[second][kept], moving_mm[kept])
            print(f"    {first}, {second}: {rms_mm:.2f} mm")


if __name__ == "__main__":
    run(landmark_errors, old_names={"out": "output_dir"})
