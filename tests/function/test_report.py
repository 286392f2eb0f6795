from __future__ import annotations

from pathlib import Path

from bundle.function import summary_line


def test_the_line_says_which_scan_is_exhale_and_what_changes() -> None:
    report = {
        "name": "case",
        "verdict": "ok",
        "exhale": {"scan": "moving", "reason": "as given"},
        "volumes": {"change_of_field": 0.251, "change_of_masks": 0.254},
        "mass": {"inhale_g": 800.4, "exhale_g": 790.0},
        "maps": [{}, {}],
    }
    assert summary_line(report, Path("out")) == (
        "case: ok, exhale = moving scan (as given), volume change 25.1 % (masks 25.4 %), mass 800 g in, 790 g ex; "
        "2 maps in out"
    )
