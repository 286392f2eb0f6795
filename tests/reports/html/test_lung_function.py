from __future__ import annotations

import json
from html import escape
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from bundle.data import FUNCTION_FOLDER, FUNCTION_REPORT, FUNCTION_TABLE
from bundle.function.summary import HEADER
from bundle.reports.html.lung_function import function_section, replace_function
from tests.reports.html.registered import make_registered, write_page
from tests.reports.html.test_page import HOSTILE, Elements

START, END = "<!-- section lung function -->\n", "\n<!-- end of lung function -->"


def write_maps(folder: Path, **changes: Any) -> None:
    """The report, table and pictures of two maps."""
    place = folder / FUNCTION_FOLDER
    place.mkdir(parents=True, exist_ok=True)
    names = ["lung_function.png", "sacj.png", "prm.png"]
    for name in names:
        Image.new("RGB", (60, 30), "teal").save(place / name)
    report = {
        "exhale": {"scan": "moving", "reason": "the smaller lungs"},
        "direction": "exhale to inhale",
        "smoothing": "Gaussian, sigma 4 mm",
        "low_and_high": "below 0.5 and above 1.5 times the mean",
        "volumes": {"change_of_field": 0.25, "change_of_masks": 0.2612},
        "mass": {"inhale_g": 812.3, "exhale_g": 799.9},
        "warnings": [],
        "figures": [{"title": name, "file": name, "caption": f"{name}: exhale to inhale"} for name in names],
    }
    (place / FUNCTION_REPORT).write_text(json.dumps(report | changes))
    rows = [f"{region},sacj,1,,4,,0.123456,,,,,,,," for region in ("both lungs", "left lung", "apex third")]
    (place / FUNCTION_TABLE).write_text("\n".join([",".join(HEADER), *rows]) + "\n")


def test_the_section_shows_every_picture_with_its_caption_and_what_was_found(tmp_path: Path) -> None:
    write_maps(tmp_path, warnings=["the lung volumes differ by 3 % only"])
    found = Elements(function_section(tmp_path))
    images = [attributes for tag, attributes in found.found if tag == "img"]
    assert [image["alt"] for image in images] == ["lung_function.png", "sacj.png", "prm.png"]
    assert all(str(image["src"]).startswith("data:image/png;base64,") for image in images)
    text = " ".join(word.strip() for word in found.words)
    for words in (
        "prm.png: exhale to inhale",
        "Exhale is the moving scan: the smaller lungs",
        "+25.0 % by the field, +26.1 % by the masks",
        "812 g at inhale, 800 g at exhale",
        "Gaussian, sigma 4 mm",
        "the lung volumes differ by 3 % only",
        "left lung sacj 1",
        "0.1235",
    ):
        assert words in text, words
    assert "apex third" not in text


def test_a_folder_without_maps_has_no_section(tmp_path: Path) -> None:
    assert function_section(tmp_path) == ""


def test_the_page_of_a_registration_holds_maps_and_takes_later_ones(tmp_path: Path) -> None:
    write_page(tmp_path / "without", make_registered())
    page = tmp_path / "without" / "report.html"
    plain = page.read_text()
    assert START + END in plain

    write_maps(tmp_path / "with")
    write_page(tmp_path / "with", make_registered())
    text = (tmp_path / "with" / "report.html").read_text()
    assert f"{START}{function_section(tmp_path / 'with')}{END}" in text

    replace_function(tmp_path / "with", page)
    assert page.read_text() == plain.replace(START + END, f"{START}{function_section(tmp_path / 'with')}{END}")
    replace_function(tmp_path / "none", page)
    assert page.read_text() == plain


def test_names_and_warnings_are_text_not_html(tmp_path: Path) -> None:
    figures = [{"title": HOSTILE, "file": "prm.png", "caption": HOSTILE}] * 2
    write_maps(tmp_path, figures=figures, warnings=[HOSTILE], exhale={"scan": HOSTILE, "reason": HOSTILE})
    text = function_section(tmp_path)
    assert escape(HOSTILE) in text
    assert not [tag for tag, _ in Elements(text).found if tag == "script"]
    assert not [name for _, attributes in Elements(text).found for name in attributes if name.startswith("on")]


@pytest.mark.parametrize("text", ["<p>mine</p>", f"{START}no end"])
def test_a_page_of_another_kind_is_refused(text: str, tmp_path: Path) -> None:
    (tmp_path / "report.html").write_text(text)
    with pytest.raises(ValueError, match="found no section of lung function in it"):
        replace_function(tmp_path, tmp_path / "report.html")
    assert (tmp_path / "report.html").read_text() == text
