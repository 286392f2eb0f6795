from __future__ import annotations

import json
import os
import re
import subprocess
import tomllib
from html import escape
from html.parser import HTMLParser
from pathlib import Path

import pytest

from bundle.quality import items_of
from bundle.reports.html.page import ASSETS
from tests.reports.html.registered import make_registered, write_page

ROOT = Path(__file__).parents[3]
HOSTILE = '<script>alert("1")</script><img src=x onerror=alert(2)>&amp;\'"</script>'
MAX_BYTES = 15_000_000


class Elements(HTMLParser):
    """Names and attributes of the elements of a page, and its text by the element that holds it."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.words.append(data)


def test_the_page_stands_alone_and_is_small(tmp_path: Path) -> None:
    write_page(tmp_path, make_registered(with_landmarks=True))
    text = (tmp_path / "report.html").read_text()
    assert len(text.encode()) < MAX_BYTES
    for tag, attributes in Elements(text).found:
        for name in ("src", "href", "data", "action"):
            address = attributes.get(name) or ""
            assert address.startswith(("data:", "#")) or not address, (tag, name, address[:80])
    assert not re.search(r"@import|url\((?!['\"]?(data:|#))", text)


def test_names_of_files_and_reasons_are_text_not_html(tmp_path: Path) -> None:
    pair = make_registered()
    plain = write_page(tmp_path / "plain", pair)
    files = {"fixed": f"/data/{HOSTILE}/a.nii", "moving": "/data/b.nii"}
    changes = {
        "name": HOSTILE,
        "fixed": files["fixed"],
        "files": files,
        "reasons": [HOSTILE],
        "warnings": [HOSTILE],
        "dicom_series": {"fixed": {"description": HOSTILE}, "moving": None},
        "settings": {**plain["settings"], "note": HOSTILE},
    }
    write_page(tmp_path / "hostile", pair, **changes)
    text = (tmp_path / "hostile" / "report.html").read_text()
    assert escape(HOSTILE) in text
    assert 'alert("1")' not in text
    tags = [tag for tag, _ in Elements(text).found if tag in ("script", "img")]
    assert tags == [tag for tag, _ in Elements((tmp_path / "plain/report.html").read_text()).found if tag in tags]
    assert not [name for _, attributes in Elements(text).found for name in attributes if name.startswith("on")]


@pytest.mark.parametrize(
    ("level", "words"),
    [("ok", "Nothing speaks against"), ("check", "Look at this registration"), ("failed", "do not use it")],
)
def test_the_first_words_say_whether_to_believe_it(level: str, words: str, tmp_path: Path) -> None:
    reasons = [] if level == "ok" else ["the warped lungs overlap the fixed lungs with a Dice of 0.42 only"]
    write_page(tmp_path, make_registered(), verdict=level, reasons=reasons)
    shown = [word.strip() for word in Elements((tmp_path / "report.html").read_text()).words if word.strip()]
    first = shown.index("✓" if level == "ok" else "!" if level == "check" else "✕")
    assert words in shown[first + 1]
    assert [shown[first + 2]] == reasons or level == "ok"
    assert first < shown.index("Look at it")


def test_the_numbers_are_those_of_report_json(tmp_path: Path) -> None:
    report = write_page(tmp_path, make_registered(with_landmarks=True))
    shown = " ".join(Elements((tmp_path / "report.html").read_text()).words)
    scores, evidence = report["scores"], report["evidence"]
    for text in (
        f"{scores['tre_mm']:.2f} mm",
        f"{scores['tre_max_mm']:.2f} mm",
        f"{report['lncc']['registered']:.3f}",
        f"{evidence['vessel_residual_mm']:.1f} mm",
        f"{evidence['inverse_consistency_mm']:.3f} mm",
        report["sha256"]["fixed"],
        report["weights"]["sha256"],
        report["versions"]["bundle"],
    ):
        assert text in shown
    sheet = json.loads((tmp_path / "quality.json").read_text())
    values = {item["quantity"]: item["value"] for item in items_of(sheet)}
    assert values["TRE, mean"] == scores["tre_mm"] == 2.5
    assert values["TRE, largest"] == scores["tre_max_mm"] == 4.0
    assert values["folding"] == scores["folding_percent"]
    assert values["inverse consistency, 95th percentile"] == evidence["inverse_consistency_mm"]


def test_a_pair_without_residuals_has_a_page(tmp_path: Path) -> None:
    pair = make_registered()
    del pair["residuals"]
    write_page(tmp_path, pair)
    assert "Not measured" in (tmp_path / "report.html").read_text()


def test_the_viewer_and_its_licences_are_packed() -> None:
    listed = subprocess.run(["git", "ls-files", str(ASSETS)], cwd=ROOT, check=True, capture_output=True, text=True)
    tracked = {Path(name).name for name in listed.stdout.split()}
    assert {path.name for path in ASSETS.iterdir()} == tracked  # what scripts.package copies
    licences = {"niivue.LICENSE.txt", "niivue.packages.LICENSE.txt"}
    assert {"niivue.min.js", "report.html", "report.js", "report.css", "index.html", "index.js", *licences} == tracked
    packed = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["package-data"]
    assert "assets/*" in packed["bundle.reports.html"]
    assert "BSD 2-Clause License" in (ASSETS / "niivue.LICENSE.txt").read_text()


def test_paths_of_other_bytes_than_utf8_do_not_stop_the_page(tmp_path: Path) -> None:
    path = os.fsdecode(b"/data/caf\xe9.nii.gz")
    write_page(tmp_path, make_registered(), fixed=path, files={"fixed": path, "moving": "/data/b.nii"})
    assert "/data/caf?.nii.gz" in (tmp_path / "report.html").read_text(encoding="utf-8")
