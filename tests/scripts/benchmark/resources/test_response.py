from __future__ import annotations

import logging

import pytest

from scripts.benchmark.resources import response


@pytest.mark.slow
def test_every_answer_is_measured_and_those_above_their_limit_are_named(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(response, "LIMITS_S", {"help": 0.0, "header fault": 1e6, "500 slices": 1e6})
    with caplog.at_level(logging.INFO):
        costs = response.measure_response()
    assert costs.keys() == response.LIMITS_S.keys()
    assert all(cost.cpu_s > 0 for cost in costs.values())
    above = [record.getMessage().split(":")[0] for record in caplog.records if "above the limit" in record.getMessage()]
    assert above == ["help"]
