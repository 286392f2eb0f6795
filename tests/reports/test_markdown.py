from __future__ import annotations

from bundle.reports.markdown import markdown_table


def test_the_first_column_is_aligned_left_and_the_others_right() -> None:
    assert markdown_table(["case", "TRE", "time"], [["copd1", "0.80", "12"], ["copd2", "1.21", "–"]]) == [
        "| case | TRE | time |",
        "| --- | ---: | ---: |",
        "| copd1 | 0.80 | 12 |",
        "| copd2 | 1.21 | – |",
    ]


def test_a_table_without_rows_has_its_header() -> None:
    assert markdown_table(["case"], []) == ["| case |", "| --- |"]
