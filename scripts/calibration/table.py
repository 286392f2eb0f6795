"""Tables of the calibration: how many pairs of each kind got which verdict, and the limits of the rules."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from bundle.quality import RULES

VERDICTS = ("ok", "check", "failed", "refused")
Rows = list[list[str]]


def kinds_table(rows: Sequence[Mapping[str, str]]) -> Rows:
    """Header, a row for each kind of pair and the totals of good pairs and of failures."""
    kinds = list(dict.fromkeys(row["kind"] for row in rows))
    table = [["pairs", "number", *VERDICTS]]
    for start in ("good", "failure"):
        for kind in [kind for kind in kinds if kind.startswith(start)]:
            table.append([kind, *_counts([row for row in rows if row["kind"] == kind])])
        table.append([f"all: {start}", *_counts([row for row in rows if row["kind"].startswith(start)])])
    return table


def rules_table() -> Rows:
    """Header, and the limits of each measurement."""
    table = [["measurement", "check", "failed"]]
    for rule in RULES:
        sign = "above" if rule.is_high_bad else "below"
        table.append([rule.name, *(f"{sign} {limit:g}" for limit in (rule.check, rule.failed))])
    return table


def _counts(rows: Sequence[Mapping[str, str]]) -> list[str]:
    return [str(len(rows)), *(str(sum(row["verdict"] == verdict for row in rows)) for verdict in VERDICTS)]
