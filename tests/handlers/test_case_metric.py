from __future__ import annotations

from types import SimpleNamespace

import pytest

from bundle.handlers.case_metric import engine_cases


def test_a_case_holds_what_was_loaded_and_what_was_computed_and_results_win() -> None:
    batch = [{"name": "first", "image": 0}, {"name": "second", "image": 1}]
    output = [{"pred": 2, "image": 10}, {"pred": 3, "image": 11}]
    engine = SimpleNamespace(state=SimpleNamespace(batch=batch, output=output))
    assert engine_cases(engine) == [
        {"name": "first", "image": 10, "pred": 2},
        {"name": "second", "image": 11, "pred": 3},
    ]


def test_a_batch_that_lost_a_case_is_an_error() -> None:
    engine = SimpleNamespace(state=SimpleNamespace(batch=[{}, {}], output=[{}]))
    with pytest.raises(ValueError, match="shorter"):
        engine_cases(engine)
