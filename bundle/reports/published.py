"""Published TRE on DIR-Lab COPDgene: snapped, mean over the 300 landmarks of each case, mm.

Sources: He et al. 2021 (arXiv:2106.07608) and the papers it cites; pTVreg: https://github.com/visva89/pTVreg;
300-landmark baseline and observers: https://www.dir-lab.com.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

# fmt: off
COPDGENE_TRE_MM: dict[str, tuple[float, ...]] = {
    "without registration (all features)": (25.90, 21.77, 12.29, 30.90, 30.90, 28.32, 21.66, 25.57, 14.84, 22.48),
    "without registration (300 landmarks)": (26.33, 21.77, 12.64, 29.58, 30.07, 28.45, 21.60, 26.46, 14.86, 21.81),
    "NLR": (1.33, 2.34, 1.12, 1.54, 1.39, 2.08, 1.10, 1.57, 0.99, 1.42),
    "LMP": (1.21, 1.97, 1.06, 1.64, 1.46, 1.34, 1.16, 1.54, 0.99, 1.39),
    "SGM3D": (1.22, 2.48, 1.01, 2.42, 1.93, 1.45, 1.05, 1.16, 0.81, 1.28),
    "MILO": (0.93, 1.77, 0.99, 1.14, 1.02, 0.99, 1.03, 1.31, 0.86, 1.23),
    "MRF": (1.00, 1.62, 1.00, 1.08, 0.96, 1.01, 1.05, 1.08, 0.79, 1.18),
    "pTV (2017)": (0.77, 2.22, 0.82, 0.85, 0.77, 0.86, 0.74, 0.81, 0.83, 0.92),
    "pTVreg (its README, 442 s a case)": (0.71, 1.91, 0.77, 0.67, 0.71, 0.66, 0.75, 0.78, 0.64, 0.85),
    "VoxelMorph (RRN paper, transductive)": (10.16, 10.32, 2.47, 12.40, 10.24, 8.16, 5.72, 5.32, 3.85, 10.88),
    "RRN without cost volume (paper, transductive)": (0.84, 1.56, 0.99, 0.92, 0.97, 0.68, 0.85, 0.84, 0.80, 2.53),
    "RRN (paper, transductive)": (0.80, 1.21, 0.93, 0.84, 0.80, 0.60, 0.76, 0.73, 0.70, 0.88),
    "observer repeat error": (0.65, 1.06, 0.58, 0.71, 0.65, 1.06, 0.65, 0.96, 1.01, 0.87),
}
# fmt: on


def copdgene_numbers(names: Sequence[str]) -> list[int] | None:
    """Numbers 1 to 10 of cases named `copd1` ... `copd10`, in order; None if another case is among them."""
    matches = [re.fullmatch(r"copd([1-9]|10)", name) for name in names]
    numbers = [int(match[1]) for match in matches if match]
    return numbers if numbers and len(numbers) == len(names) else None


def published_rows(numbers: Sequence[int]) -> dict[str, tuple[float, ...]]:
    """Published values of the given cases, followed by their mean."""
    rows = {}
    for method, values in COPDGENE_TRE_MM.items():
        chosen = tuple(values[number - 1] for number in numbers)
        rows[method] = (*chosen, sum(chosen) / len(chosen))
    return rows
