from __future__ import annotations

import pytest

from bundle.reports.published import COPDGENE_TRE_MM, copdgene_numbers, published_rows

# the last column of the papers' tables, copied on its own
PRINTED_MEANS_MM = {
    "without registration (all features)": 23.46,
    "NLR": 1.49,
    "LMP": 1.38,
    "SGM3D": 1.48,
    "MILO": 1.13,
    "MRF": 1.08,
    "pTV (2017)": 0.96,
    "pTVreg (its README, 442 s a case)": 0.85,
    "VoxelMorph (RRN paper, transductive)": 7.95,
    "RRN without cost volume (paper, transductive)": 1.10,
    "RRN (paper, transductive)": 0.83,
    "observer repeat error": 0.82,
}
ALL = list(range(1, 11))


@pytest.mark.parametrize(("method", "mean_mm"), PRINTED_MEANS_MM.items())
def test_the_cases_of_a_method_give_its_printed_mean(method: str, mean_mm: float) -> None:
    assert published_rows(ALL)[method][-1] == pytest.approx(mean_mm, abs=0.02)


def test_every_method_has_ten_cases_and_a_printed_mean() -> None:
    assert {len(values) for values in COPDGENE_TRE_MM.values()} == {10}
    assert set(COPDGENE_TRE_MM) - set(PRINTED_MEANS_MM) == {"without registration (300 landmarks)"}


def test_a_subset_gives_its_own_cases_in_order_and_their_mean() -> None:
    assert published_rows([10, 2])["RRN (paper, transductive)"] == pytest.approx((0.88, 1.21, 1.045))


@pytest.mark.parametrize(
    ("names", "numbers"),
    [
        (["copd1", "copd10"], [1, 10]),
        (["copd3"], [3]),
        (["copd1", "phantom-1"], None),
        (["copd11"], None),
        (["copd0"], None),
        (["xcopd1"], None),
        ([], None),
    ],
)
def test_only_dirlab_copdgene_names_are_compared_with_the_literature(
    names: list[str], numbers: list[int] | None
) -> None:
    assert copdgene_numbers(names) == numbers
