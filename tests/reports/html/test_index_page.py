from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Any

import pytest

from bundle.reports.html import write_index
from tests.reports.html.registered import make_registered, write_page
from tests.reports.html.test_page import HOSTILE, Elements


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Result folders of every verdict, an unfinished one, one with a damaged report and one of an early version."""
    folder = tmp_path_factory.mktemp("results")
    pair = make_registered(with_landmarks=True)
    for name, verdict in (("a", "ok"), ("b #1 100%", "failed"), ("c", "check")):
        reasons = [] if verdict == "ok" else [HOSTILE]
        write_page(folder / name, pair, name=f"pair {name}", verdict=verdict, reasons=reasons)
    (folder / "d").mkdir()
    (folder / "e").mkdir()
    (folder / "e" / "report.json").write_text('{"verdict": "ok"')
    (folder / "f").mkdir()
    (folder / "f" / "report.json").write_text(json.dumps({"name": HOSTILE, "verdict": "ok", "reasons": []}))
    (folder / "f" / "overview.png").write_text("no picture")
    (folder / ".hidden").mkdir()
    (folder / "verdicts.csv").write_text("verdict\n")
    return folder


def rows_of(text: str) -> list[list[tuple[str, dict[str, Any]]]]:
    """The elements of each row of the table's body."""
    rows: list[list[tuple[str, dict[str, Any]]]] = []
    for tag, attributes in Elements(text[text.index("<tbody>") :]).found:
        if tag == "tr":
            rows.append([])
        elif rows:
            rows[-1].append((tag, attributes))
    return rows


def test_the_worst_come_first_and_incomplete_folders_are_listed(results: Path) -> None:
    text = write_index(results).read_text()
    cells = [attributes.get("class") or "" for row in rows_of(text) for _, attributes in row]
    states = [cell.split()[1] for cell in cells if cell.startswith("state ")]
    assert states == ["failed", "incomplete", "incomplete", "check", "ok", "ok"]
    assert "1 failed, 2 incomplete, 1 check, 2 ok" in text
    assert "no report.json: unfinished" in text
    assert "report.json cannot be read" in text


def test_pairs_without_a_folder_are_listed_with_their_reason(results: Path) -> None:
    text = write_index(results, {"gone": f"{HOSTILE}: no such file"}).read_text()
    assert len(rows_of(text)) == 7
    row = text[text.index("gone</th>") :]
    assert row.index('class="state incomplete"') < row.index(": no such file") < row.index("</tr>")
    assert HOSTILE not in text


def test_an_index_may_list_pairs_without_a_folder_only(tmp_path: Path) -> None:
    text = write_index(tmp_path, {"gone": "no such file"}).read_text()
    assert "1 incomplete" in text
    assert "<li>no such file" in text


def test_links_lead_to_the_reports_whatever_the_names(results: Path) -> None:
    links = [attributes["href"] for tag, attributes in Elements(write_index(results).read_text()).found if tag == "a"]
    assert links == ["b%20%231%20100%25/report.html", "c/report.html", "a/report.html", "f/overview.png"]


def test_pairs_of_one_name_are_told_apart_by_their_folders(tmp_path: Path) -> None:
    for folder, name in (("week 1", "inhale"), ("week 2 <b>", "inhale"), ("c", "other")):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "report.json").write_text(json.dumps({"name": name, "verdict": "ok", "reasons": []}))
    text = write_index(tmp_path).read_text()
    assert re.findall("inhale<small>(.*?)</small></th>", text) == ["week 1", "week 2 &lt;b&gt;"]
    assert ">other</th>" in text


def test_names_and_reasons_are_text(results: Path) -> None:
    text = write_index(results).read_text()
    found = Elements(text).found
    assert [tag for tag, _ in found].count("script") == 1
    assert [tag for tag, _ in found].count("img") == 3  # the damaged picture has no thumbnail
    assert not [name for _, attributes in found for name in attributes if name.startswith("on")]


def test_numbers_are_those_of_the_reports(results: Path) -> None:
    rows = rows_of(write_index(results).read_text())
    (row,) = [row for row in rows if any(attributes.get("href") == "a/report.html" for _, attributes in row)]
    report = json.loads((results / "a" / "report.json").read_text())
    values = [float(attributes["data-value"]) for _, attributes in row if attributes.get("class") == "number"]
    scores, lncc = report["scores"], report["lncc"]
    residual = report["evidence"]["vessel_residual_mm"]
    expected = [scores["tre_mm"], scores["tre_aligned_mm"], residual, lncc["registered"], lncc["aligned"]]
    assert values == [*expected, scores["folding_percent"], scores["time_s"]]


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("missing", r"missing: no such folder"),
        ("d", r"d: expected a folder with a result folder for each pair; this one holds no folder with a report\.json"),
        ("a", r"a: expected a folder with .* this one is the result folder of one pair"),
    ],
)
def test_other_folders_are_refused(path: str, message: str, results: Path) -> None:
    with pytest.raises((FileNotFoundError, ValueError), match=message):
        write_index(results / path)
    assert not (results / path / "index.html").exists()


def test_what_is_not_as_registrations_write_it_is_listed_all_the_same(tmp_path: Path) -> None:
    good = {"name": "good", "verdict": "ok", "reasons": [], "lncc": {"registered": 0.5}}
    for name, changes in {
        "a": {},
        "b": {"reasons": None},
        "c": {"verdict": ["ok"]},
        "d": {"name": None, "lncc": {"registered": float("nan"), "aligned": "x"}, "scores": [1]},
    }.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / "report.json").write_text(json.dumps(good | changes))
    (tmp_path / "list").mkdir()
    (tmp_path / "list" / "report.json").write_text("[1]")
    (tmp_path / "loop").symlink_to(tmp_path)
    (tmp_path / "nowhere").symlink_to(tmp_path / "missing")
    text = write_index(tmp_path).read_text()
    assert "4 incomplete, 2 ok" in text  # b, c, the list and the loop
    values = [
        attributes["data-value"] for row in rows_of(text) for _, attributes in row if "number" in attributes.values()
    ]
    assert [value for value in values if value] == ["0.5"]


def test_names_of_other_bytes_than_utf8_do_not_stop_the_index(tmp_path: Path) -> None:
    folder = tmp_path / os.fsdecode(b"caf\xe9")
    try:
        folder.mkdir()
    except OSError:
        pytest.skip("this file system takes names in UTF-8 only: other names stay unchecked")
    (folder / "report.json").write_text(json.dumps({"verdict": "ok", "reasons": []}))
    (folder / "overview.png").write_text("no picture")
    assert 'href="caf%E9/overview.png"' in write_index(tmp_path).read_text()
