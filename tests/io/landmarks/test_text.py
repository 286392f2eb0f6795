from __future__ import annotations

from pathlib import Path

import pytest

from bundle.io.landmarks.text import (
    is_comment,
    is_number,
    lines_of,
    number_of,
    read_text,
    split_cells,
    split_point,
    to_points,
)

TEXT = "label,x\nLäppchen,1\n"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32", "latin-1"])
def test_every_usual_encoding_is_read(encoding: str, tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes(TEXT.encode(encoding))
    assert read_text(tmp_path / "a.csv") == TEXT
    assert lines_of(tmp_path / "a.csv") == [(1, "label,x"), (2, "Läppchen,1")]


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (b"5 \x80", "5 \u20ac"),
        (b"\x93carina\x94 \x96 a\x85", "\u201ccarina\u201d \u2013 a\u2026"),
        (b"\x8a\x8e\x9f\xe4", "\u0160\u017d\u0178\u00e4"),
        (b"\x80\x81\x8d\x8f\x90\x9d", "\u20ac\x81\x8d\x8f\x90\x9d"),
    ],
)
def test_text_of_windows_is_read_and_bytes_that_it_does_not_define_are_latin_1(
    content: bytes, text: str, tmp_path: Path
) -> None:
    (tmp_path / "a.csv").write_bytes(content)
    assert read_text(tmp_path / "a.csv") == text


@pytest.mark.parametrize(
    "content", [b"\x80\x00\x01\xff", b"\xff\xfe\x00", b"\xef\xbb\xbf\xe4", b"\x89PNG\r\n\x1a\n\x00\x00"]
)
def test_what_is_no_text_is_refused(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes(content)
    with pytest.raises(ValueError, match=r"a\.csv: not a text file: expected text in UTF-8, Windows-1252 or UTF-16"):
        read_text(tmp_path / "a.csv")


@pytest.mark.parametrize(
    ("text", "number"),
    [("1", 1.0), ("-1.5e3", -1500.0), ("-1,5", -1.5), ("x", None), ("", None), ("12_34", None), ("1,2,3", None)],
)
def test_numbers_are_numbers(text: str, number: float | None) -> None:
    assert number_of(text) == number
    assert is_number(text) == (number is not None)


@pytest.mark.parametrize(
    ("line", "cells"),
    [
        ("1 2\t3", ["1", "2", "3"]),
        ("1, 2, 3", ["1", "2", "3"]),
        ("10,20,30;", ["10", "20", "30"]),
        ("10,20 30", ["10", "20", "30"]),
        ("1,5 2,5 3,5", ["1,5", "2,5", "3,5"]),
        ("a;1,5;2;3", ["a", "1,5", "2", "3"]),
        ('"left lobe" 1\t 2 3 ', ["left lobe", "1", "2", "3"]),
    ],
)
def test_lines_are_split_at_every_usual_separator(line: str, cells: list[str]) -> None:
    assert split_cells(line) == cells


@pytest.mark.parametrize(
    ("line", "cells"),
    [
        ("left lobe,1,2,3", ["left lobe", "1", "2", "3"]),
        ("left lobe\t1,5\t2\t3", ["left lobe", "1,5", "2", "3"]),
        ('"left; lobe";1;2;3', ["left; lobe", "1", "2", "3"]),
        ("1 2,3", ["1", "2", "3"]),
    ],
)
def test_a_point_is_split_where_it_holds_three_numbers(line: str, cells: list[str]) -> None:
    assert split_point(line) == cells


def test_lines_of_separators_only_are_blank(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("\t1\n,,,\n \n;\n2 \n")
    assert lines_of(tmp_path / "a.csv") == [(1, "\t1"), (5, "2 ")]


def test_a_comment_holds_no_point() -> None:
    assert [is_comment(line) for line in ("# x y z", "#1 10 20 30", "1 2 3")] == [True, False, False]


def test_points_are_three_numbers() -> None:
    assert to_points(Path("a"), [(1, ["1", "2", "3"])]).tolist() == [[1.0, 2.0, 3.0]]
