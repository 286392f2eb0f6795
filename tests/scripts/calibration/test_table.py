from __future__ import annotations

from bundle.quality import RULES
from scripts.calibration.table import kinds_table, rules_table


def test_pairs_are_counted_by_kind_and_verdict() -> None:
    verdicts = [("good: a", "ok"), ("failure: b", "refused"), ("good: a", "check"), ("failure: b", "failed")]
    rows = [{"kind": kind, "verdict": verdict} for kind, verdict in verdicts]
    assert kinds_table(rows) == [
        ["pairs", "number", "ok", "check", "failed", "refused"],
        ["good: a", "2", "1", "1", "0", "0"],
        ["all: good", "2", "1", "1", "0", "0"],
        ["failure: b", "2", "0", "0", "1", "1"],
        ["all: failure", "2", "0", "0", "1", "1"],
    ]


def test_every_rule_has_its_limits() -> None:
    table = rules_table()
    assert len(table) == len(RULES) + 1
    assert table[0] == ["measurement", "check", "failed"]
    assert all(row[1].split()[0] == row[2].split()[0] for row in table[1:])
