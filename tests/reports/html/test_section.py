from __future__ import annotations

from pathlib import Path

import pytest

from bundle.reports.html.section import check_section, replace_section

PAGE = "<p>a</p>\n<!-- section b -->\n\n<!-- end of b -->\n<!-- section c -->\nc\n<!-- end of c -->\n"


def test_a_section_is_filled_and_replaced_and_nothing_else(tmp_path: Path) -> None:
    page = tmp_path / "report.html"
    page.write_text(PAGE)
    for text in ("<p>é</p>", "two\nlines", ""):
        replace_section(page, "b", text)
        assert page.read_text(encoding="utf-8") == PAGE.replace("b -->\n\n", f"b -->\n{text}\n")


@pytest.mark.parametrize("text", ["<p>mine</p>", "<!-- section b -->\n", "\n<!-- end of b -->"])
def test_a_page_without_a_place_is_left_as_it_is(text: str, tmp_path: Path) -> None:
    page = tmp_path / "report.html"
    page.write_text(text)
    for call in (lambda: check_section(page, "b"), lambda: replace_section(page, "b", "new")):
        with pytest.raises(ValueError, match=r"report\.html: expected a report.*, found no section of b in it"):
            call()
    assert page.read_text() == text
