from __future__ import annotations

import pytest

from bundle.handlers import check_enough_pairs


def test_as_many_pairs_as_processes_are_enough() -> None:
    check_enough_pairs(training=["a", "b", "c"], validation=["d", "e"], test=["f", "g"], processes=2)


def test_every_small_section_is_named_with_its_pairs() -> None:
    expected = r"for each of the 3 processes in every section, found fewer in validation \(2\), test \(1\)"
    with pytest.raises(ValueError, match=expected):
        check_enough_pairs(training=["a", "b", "c"], validation=["d", "e"], test=["f"], processes=3)
