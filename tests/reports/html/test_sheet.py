from __future__ import annotations

import json
from pathlib import Path

import pytest

from bundle.metrics import ContourAgreement
from bundle.quality import with_contours
from bundle.reports.html.sheet import replace_sheet, sheet_section
from tests.reports.html.registered import make_registered, write_page


def test_a_new_sheet_replaces_the_old_one_and_nothing_else(tmp_path: Path) -> None:
    write_page(tmp_path, make_registered())
    before = (tmp_path / "report.html").read_text()
    sheet = json.loads((tmp_path / "quality.json").read_text())
    replace_sheet(tmp_path / "report.html", sheet)
    assert (tmp_path / "report.html").read_text() == before
    changed = with_contours(sheet, {"heart & <b>apex</b>": ContourAgreement(0.75, 1.5, 4.25)})
    replace_sheet(tmp_path / "report.html", changed)
    after = (tmp_path / "report.html").read_text()
    assert "heart &amp; &lt;b&gt;apex&lt;/b&gt;" in after
    assert after.replace(sheet_section(changed), sheet_section(sheet)) == before


def test_a_page_of_another_kind_is_refused(tmp_path: Path) -> None:
    (tmp_path / "report.html").write_text("<p>mine</p>")
    with pytest.raises(ValueError, match=r"report\.html: expected a report\.html of scripts\.register"):
        replace_sheet(tmp_path / "report.html", {})
    assert (tmp_path / "report.html").read_text() == "<p>mine</p>"
