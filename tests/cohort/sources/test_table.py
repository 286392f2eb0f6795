from __future__ import annotations

from pathlib import Path

import pytest

from bundle.cohort.sources import read_table, write_table


def write(folder: Path, text: str, encoding: str = "utf-8") -> Path:
    file = folder / "pairs.csv"
    file.write_bytes(text.encode(encoding))
    return file


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_columns_are_found_by_name_in_any_order_and_empty_cells_are_not_given(delimiter: str, tmp_path: Path) -> None:
    lines = ["moving|name|fixed|fixed_series|moving_mask|note", "m.nii|one|/f.nii|1.2.3#30||looks well", "|||||", ""]
    lines += [" m 2.nii |20240115|sub/f.nii|||", "  ", " | "]
    one, two = read_table(write(tmp_path, "\n".join(lines).replace("|", delimiter) + "\n"))
    assert one == {"name": "one", "fixed": "/f.nii", "moving": str(tmp_path / "m.nii"), "fixed_series": "1.2.3#30"}
    assert two["name"] == "20240115"
    assert (two["fixed"], two["moving"]) == (str(tmp_path / "sub/f.nii"), str(tmp_path / "m 2.nii"))


def test_a_byte_order_mark_and_quotes_are_read(tmp_path: Path) -> None:
    (pair,) = read_table(write(tmp_path, '\ufeffname,fixed,moving\r\na,"f, 1.nii",m.nii\r\n'))
    assert pair["fixed"] == str(tmp_path / "f, 1.nii")


def test_only_line_breaks_outside_of_quotes_end_a_row(tmp_path: Path) -> None:
    text = 'name,fixed,moving,note\ra\u2028b\x85,f\x0b.nii,m.nii,"two\nlines"\r\r'
    (pair,) = read_table(write(tmp_path, text))
    assert pair == {"name": "a\u2028b", "fixed": str(tmp_path / "f\x0b.nii"), "moving": str(tmp_path / "m.nii")}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", r"pairs\.csv: expected the columns name, fixed, moving, missing name, fixed, moving"),
        ("name,fixed\na,b\n", r"missing moving"),
        ("name,fixed,moving,age\na,b,c,7\n", r"column 'age': expected some of name, fixed, moving, fixed_mask"),
        ("name,fixed,moving,moving\na,b,c,d\n", r"column 'moving': twice"),
        ("name,fixed,moving\n", r"pairs\.csv: no pairs in this table"),
        ("name,fixed,moving\na,b\n", r"pairs\.csv, line 2: expected 3 cells"),
        ("name,fixed,moving\na,b,c,d\n", r"pairs\.csv, line 2: expected 3 cells"),
        ("name,fixed,moving\na,b,c\na,d,e\n", r"a different name for every pair, used more than once: a"),
        ("name,fixed,moving\na,b,c\n,d,e\n", r"pairs\.csv, line 3: missing key 'name'"),
        ("name,fixed,moving\na/b,b,c\n", r"line 2 \(a/b\): the name becomes a folder and cannot hold '/'"),
        ('name,fixed,moving\na,"b,c\n', r"pairs\.csv, line \d: unreadable"),
        ("name,fixed,moving,landmark_system\na,b,c,mni\n", r"mni"),
    ],
)
def test_what_is_wrong_is_said_with_its_place(text: str, words: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=words):
        read_table(write(tmp_path, text))


def test_another_encoding_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"pairs\.csv: expected a table in UTF-8"):
        read_table(write(tmp_path, "name,fixed,moving\nä,b,c\n", "latin-1"))


def test_a_table_that_was_written_is_read_again(tmp_path: Path) -> None:
    rows = [{"name": "a", "fixed": "/f", "moving": "/m", "moving_series": "1.2", "fixed_lungs_ml": "5000", "note": "x"}]
    write_table(tmp_path / "pairs.csv", rows)
    assert "fixed_mask" not in (tmp_path / "pairs.csv").read_text()
    assert read_table(tmp_path / "pairs.csv") == [{"name": "a", "fixed": "/f", "moving": "/m", "moving_series": "1.2"}]
