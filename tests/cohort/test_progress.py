from __future__ import annotations

import pytest

from bundle.cohort import progress as module
from bundle.cohort.progress import Progress


def test_the_time_left_follows_from_the_pairs_that_have_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    now_s = 1000.0
    monkeypatch.setattr(module.time, "monotonic", lambda: now_s)
    with Progress(10) as progress:
        assert progress.seconds_left is None
        assert progress.text == "0 failed, ETA ?"
        now_s += 100.0
        progress.update(failed=False)
        now_s += 100.0
        progress.update(failed=True)
        assert progress.seconds_left == pytest.approx(8 * 100.0)
        assert progress.text == "1 failed, ETA 0:13:20"
        for _ in range(8):
            progress.update(failed=False)
        assert progress.seconds_left == 0.0


def test_the_bar_counts_pairs_and_failures(capsys: pytest.CaptureFixture[str]) -> None:
    with Progress(2) as progress:
        progress.update(failed=True)
        progress.update(failed=False)
    last = capsys.readouterr().err.rsplit("\r", 1)[-1]
    assert "2/2" in last
    assert "1 failed" in last
