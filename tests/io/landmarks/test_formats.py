from __future__ import annotations

import json
from pathlib import Path

import pytest

from bundle.io.landmarks.formats import DIRLAB_NAME, Table, read_table

ROWS = [[1.5, 2.0, 3.0], [4.0, 5.0, 6.0]]


def read(folder: Path, name: str, text: str, *, any_suffix: bool = False) -> Table:
    (folder / name).write_text(text)
    return read_table(folder / name, any_suffix=any_suffix)


@pytest.mark.parametrize(("axes", "system"), [("l,p,s", "lps"), ("r,a,s", "ras")])
def test_slicers_csv_states_its_system_and_which_points_are_used(axes: str, system: str, tmp_path: Path) -> None:
    text = (
        f"label,{axes},defined,selected,visible,locked,description\n"
        "F-1,1.5,2,3,1,1,1,0,carina\nF-2,0,0,0,0,1,1,0,\nF-3,9,9,9,1,0,1,0,\nF-4,4,5,6,1,1,1,0,\n"
    )
    table = read(tmp_path, "points.csv", text)
    assert (table.values.tolist(), table.stated, table.left_out) == (ROWS, system, (2, 3))
    assert table.names == [("F-1", "carina"), ("F-4", "")]


def test_the_flags_of_fcsv_and_markups_count_too(tmp_path: Path) -> None:
    rows = ("a,1.5,2,3,0,0,0,1,1,1,0,F-1,carina,", "b,7,7,7,0,0,0,1,1,0,0,F-2,,", "c,4,5,6,0,0,0,1,1,1,0,,,")
    fcsv = "\n".join(["# CoordinateSystem = LPS", *rows])
    table = read(tmp_path, "points.fcsv", fcsv)
    assert (table.values.tolist(), table.left_out, table.names) == (ROWS, (2,), [("F-1", "carina"), ("", "")])
    points = [
        {"label": "F-1", "description": "carina", "position": ROWS[0]},
        {"label": "F-2", "position": [0, 0, 0], "positionStatus": "undefined"},
        {"label": "F-3", "position": [0, 0, 0], "selected": False},
        {"position": ROWS[1], "selected": True},
    ]
    table = read(tmp_path, "a.mrk.json", json.dumps({"markups": [{"controlPoints": points}]}))
    assert (table.values.tolist(), table.left_out, table.names) == (ROWS, (2, 3), [("F-1", "carina"), ("", "")])


def test_transformix_gives_the_points_after_the_transform(tmp_path: Path) -> None:
    line = (
        "Point\t{}\t; InputIndex = [ 1 2 3 ]\t; InputPoint = [ 9 9 9 ]\t; OutputIndexFixed = [ 3 2 1 ]\t"
        "; OutputPoint = [ {} {} {} ]\t; Deformation = [ 1 1 1 ]\n"
    )
    table = read(tmp_path, "outputpoints.txt", "".join(line.format(n, *row) for n, row in enumerate(ROWS)))
    assert (table.values.tolist(), table.stated) == (ROWS, "lps")


@pytest.mark.parametrize("text", ["x,y,z,t,label,comment\n1.5,2,3,0,1,a\n4,5,6,0,2,b\n"])
def test_the_csv_of_ants_is_stated(text: str, tmp_path: Path) -> None:
    table = read(tmp_path, "points.csv", text)
    assert (table.values.tolist(), table.stated, table.names) == (ROWS, "lps", [("1", "a"), ("2", "b")])


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.csv", "1.5,2,3\n4,5,6\n"),
        ("a.csv", "1.5;2;3\n4;5;6\n"),
        ("a.txt", "1.5 2 3\n4 5 6\n"),
        ("a.txt", "1.5, 2, 3\n4, 5, 6\n"),
        ("a.pts", "1.5\t2\t3\n4\t5\t6\n"),
        ("a.csv", "i,j,k\n1.5,2,3\n4,5,6\n"),
        ("a.csv", "carina,1.5,2,3,main\nF-2,4,5,6,\n".replace(",\n", "\n")),
        ("a.csv", "1,5;2,0;3,0\n4,0;5,0;6,0\n"),
        ("a.csv", "#1;1,5;2;3\n#2;4;5;6\n"),
        ("a.csv", "# made by hand\n1.5,2,3\n4,5,6\n"),
        ("a.txt", "# x y z\n1,5 2,0 3,0\n4,0 5,0 6,0\n"),
        ("a.txt", "1,5\t2,0\t3,0\n4\t5\t6\n"),
        ("a.txt", "1.5 2 3\r\n4 5 6\r\n"),
    ],
)
def test_rows_of_numbers_state_nothing(name: str, text: str, tmp_path: Path) -> None:
    table = read(tmp_path, name, text, any_suffix=True)
    assert (table.values.tolist(), table.stated) == (ROWS, None)
    assert table.usual == ("dirlab" if name == "a.txt" else None)


SUFFIXES = (".csv", ".tsv", ".txt", ".dat", "", ".CSV")
SEPARATORS = (",", ";", "\t", " ", "   ", ", ", " ; ")


@pytest.mark.parametrize("separator", SEPARATORS)
@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_table_is_read_with_any_suffix_and_separator(suffix: str, separator: str, tmp_path: Path) -> None:
    def lines(*rows: str) -> str:
        return "".join(row.replace("|", separator) + "\n" for row in rows)

    table = read(tmp_path, f"a{suffix}", lines("1.5|2|3", "4|5|6"), any_suffix=True)
    assert (table.values.tolist(), table.stated) == (ROWS, None)
    for axes, system in (("l|p|s", "lps"), ("R|A|S", "ras"), ("x|y|z", None)):
        table = read(tmp_path, f"a{suffix}", lines(f"label|{axes}", "F-1|1.5|2|3", '"left lobe"|4|5|6'))
        assert (table.values.tolist(), table.stated) == (ROWS, system)
        assert table.names == [("F-1", ""), ("left lobe", "")]


@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".dat", ""])
@pytest.mark.parametrize("row", ["1 2 3", "1,2,3", "1;2;3", "1\t2\t3"])
def test_a_table_without_a_header_is_refused_unless_the_system_is_given(suffix: str, row: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"expected a header with the columns x,y,z, got '1.*--landmark_system dirlab"):
        read(tmp_path, f"a{suffix}", f"{row}\n")


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("text", ["", "\n \n", "# made by hand\n", "label,x,y,z\n", "x y z\n", ",,\n"])
def test_a_table_without_any_point_is_refused(suffix: str, text: str, tmp_path: Path) -> None:
    for given in (False, True):
        with pytest.raises(ValueError, match=r"a[.\w]*: no landmarks in this file$"):
            read(tmp_path, f"a{suffix}", text, any_suffix=given)


@pytest.mark.parametrize("header", ["x,y,z", "x;y;z", "x\ty\tz", "x y z"])
def test_rows_may_be_separated_otherwise_than_their_header(header: str, tmp_path: Path) -> None:
    for rows in ("1.5 2 3\n4 5 6\n", "1.5\t2\t3\n4\t5\t6\n"):
        assert read(tmp_path, "a.txt", f"{header}\n{rows}").values.tolist() == ROWS


def test_spaces_in_the_last_text_of_a_row_are_kept_and_others_refused(tmp_path: Path) -> None:
    table = read(tmp_path, "a.dat", "x y z name\n1.5 2 3 left lobe\n4 5 6\n")
    assert (table.values.tolist(), table.names) == (ROWS, [("left lobe", ""), ("", "")])
    with pytest.raises(ValueError, match=r"a\.dat, line 2: expected 3 numbers, got '2 1\.5 2 3'"):
        read(tmp_path, "a.dat", "name x y z\nlobe 2 1.5 2 3\n")


@pytest.mark.parametrize("column", ["Name", "name", "NAME", "id", "ID", "label", "Label"])
@pytest.mark.parametrize("header", ["{},x,y,z", "x,y,z,{}"])
def test_names_are_kept_whatever_their_column_is_called(column: str, header: str, tmp_path: Path) -> None:
    rows = ["7,1.5,2,3", "B é,4,5,6"] if header.startswith("{}") else ["1.5,2,3,7", "4,5,6,B é"]
    table = read(tmp_path, "a.csv", "\n".join([header.format(column), *rows]))
    assert (table.values.tolist(), table.names) == (ROWS, [("7", ""), ("B é", "")])


def test_a_label_comes_before_an_id_and_an_unnamed_column_is_no_name(tmp_path: Path) -> None:
    assert read(tmp_path, "a.csv", "id,x,y,z,label\n1,1.5,2,3,carina\n").names == [("carina", "")]
    assert read(tmp_path, "a.csv", ",x,y,z\n0,1.5,2,3\n").names == [("", "")]


@pytest.mark.parametrize("key", ["label", "description"])
def test_null_in_markups_is_an_empty_text(key: str, tmp_path: Path) -> None:
    point = {"label": "F-1", "description": "carina", "position": ROWS[0], key: None}
    (names,) = read(tmp_path, "a.mrk.json", json.dumps({"markups": [{"controlPoints": [point]}]})).names
    assert names == (("", "carina") if key == "label" else ("F-1", ""))


@pytest.mark.parametrize(
    "text", ["3", "null", '"a"', "{}", '{"markups": 3}', '{"markups": [3]}', '{"markups": [{"controlPoints": 3}]}',
             '{"markups": [{"controlPoints": ["a"]}]}', "1" * 5000],
)  # fmt: skip
def test_json_of_another_shape_is_refused(text: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"a\.mrk\.json: not a 3D Slicer markups file: .*$"):
        read(tmp_path, "a.mrk.json", text)


def test_texts_in_rows_of_numbers_are_names(tmp_path: Path) -> None:
    table = read(tmp_path, "a.csv", "carina,1.5,2,3,main\nF-2,4,5,6\n", any_suffix=True)
    assert table.names == [("carina", "main"), ("F-2", "")]


def test_decimal_commas_are_read_where_another_character_separates_the_columns(tmp_path: Path) -> None:
    table = read(tmp_path, "a.csv", "label;l;p;s\nF-1;1,5;2,0;3,0\nF-2;4;5;6\n")
    assert (table.values.tolist(), table.stated, [name for name, _ in table.names]) == (ROWS, "lps", ["F-1", "F-2"])


@pytest.mark.parametrize(("keyword", "system"), [("point", "lps"), ("index", "voxel0")])
def test_elastix_states_its_coordinates_whatever_the_suffix(keyword: str, system: str, tmp_path: Path) -> None:
    for name in ("a.txt", "a.pts", "points"):
        table = read(tmp_path, name, f"{keyword}\n2\n1.5 2 3\n4 5 6\n")
        assert (table.values.tolist(), table.stated) == (ROWS, system)


def test_an_unknown_suffix_is_refused_with_the_hint(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"a\.pts: unknown landmark format.*; for rows .* --landmark_system dirlab"):
        read(tmp_path, "a.pts", "1.5 2 3\n4 5 6\n")


def in_units(units: object) -> str:
    return json.dumps({"markups": [{"coordinateUnits": units, "controlPoints": [{"position": [1, 2, 3]}]}]})


@pytest.mark.parametrize("units", ["mm", ["mm", "UCUM", "millimeter"], ["mm", "mm", "mm"], ["mm"]])
def test_the_code_of_the_unit_of_markups_counts(units: object, tmp_path: Path) -> None:
    assert len(read(tmp_path, "a.mrk.json", in_units(units)).values) == 1


@pytest.mark.parametrize("units", ["cm", ["cm", "cm", "cm"], ["um", "UCUM", "mm"], ["UCUM", "mm", "millimeter"], []])
def test_markups_in_other_units_than_mm_are_refused(units: object, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"a\.mrk\.json: expected coordinates in mm, got the unit "):
        read(tmp_path, "a.mrk.json", in_units(units))


def test_a_field_of_a_table_beyond_any_landmarks_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"a\.csv: not a csv table: field larger than field limit"):
        read(tmp_path, "a.csv", "x,y,z\n" + "1" * 200_000 + ",2,3\n")


def test_dirlabs_own_names_are_known() -> None:
    known = (
        "copd1_300_iBH_xyz_r1.txt", "case3_300_T00_xyz.txt", "case8_dirLab300_T50_xyz.txt", "Case1_300_T00_xyz.txt",
        "fixed_dirlab.txt",
    )  # fmt: skip
    assert all(DIRLAB_NAME.search(name) for name in known)
    assert not any(DIRLAB_NAME.search(name) for name in ("fixed.txt", "points_xyz.txt", "copd1.txt"))
