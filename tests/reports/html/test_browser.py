"""The pages in headless Chromium, with WebGL 2 by software and without it."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from bundle.reports.html import write_index
from tests.reports.html.registered import make_registered, write_page
from tests.reports.html.test_lung_function import write_maps

playwright = pytest.importorskip("playwright.sync_api", reason="pages in a browser stay unchecked: no playwright")
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="pages in a browser stay unchecked: no Chromium")
FLAGS = [
    "--no-sandbox",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
GRAPHICS = {
    "niivue": ["--use-gl=angle", "--use-angle=swiftshader", "--enable-unsafe-swiftshader", "--ignore-gpu-blocklist"],
    "canvas": ["--disable-gpu", "--disable-3d-apis"],
}
TIMEOUT_MS = 60_000


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("results")
    moved, still = make_registered((0.0, 0.0, 2.0), with_landmarks=True), make_registered((0.0, 0.0, 0.0))
    write_maps(folder / "a")
    write_page(folder / "a", moved, name="second", verdict="ok")
    write_page(folder / "b", still, name="first <b>", verdict="failed", reasons=["a reason"])
    (folder / "c").mkdir()
    write_index(folder)
    return folder


@pytest.fixture(scope="module", params=list(GRAPHICS))
def browser(request: pytest.FixtureRequest) -> Iterator[tuple[str, Any]]:
    """Which viewer to expect, and a browser."""
    with playwright.sync_playwright() as run:
        started = run.chromium.launch(executable_path=CHROMIUM, args=FLAGS + GRAPHICS[request.param])
        yield request.param, started
        started.close()


# Of the software renderer, and of NiiVue's first frame on a machine that does much other work: not errors.
KNOWN_WARNINGS = ("GPU stall due to ReadPixels", "warning: GL_INVALID_VALUE : gl")


@pytest.fixture
def page(browser: tuple[str, Any]) -> Iterator[Any]:
    """A page whose every message, error and request beyond its own file fails the test."""
    shown = browser[1].new_page(viewport={"width": 1180, "height": 900})
    complaints: list[str] = []
    shown.on("console", lambda message: complaints.append(f"{message.type}: {message.text}"))
    shown.on("pageerror", lambda error: complaints.append(f"error: {error}"))
    shown.on("request", lambda request: complaints.append(request.url[:100]) if not is_own(request.url) else None)
    yield shown
    shown.close()
    assert [text for text in complaints if not any(known in text for known in KNOWN_WARNINGS)] == []


def is_own(address: str) -> bool:
    return address.startswith("data:") or (address.startswith("file:") and address.endswith(".html"))


def open_report(page: Any, path: Path) -> str:
    page.goto(path.as_uri())
    page.wait_for_function(
        "document.body.dataset.viewer || !document.getElementById('problem').hidden", timeout=TIMEOUT_MS
    )
    return page.evaluate("document.body.dataset.viewer || document.getElementById('problem').textContent")


def picture(page: Any, tmp_path: Path) -> np.ndarray:
    """The three planes as they are on the screen."""
    page.wait_for_timeout(200)
    page.locator(".stage").screenshot(path=tmp_path / "stage.png")
    return np.asarray(Image.open(tmp_path / "stage.png").convert("RGB")).astype(int)


def test_the_report_opens_with_the_expected_viewer(browser: tuple[str, Any], page: Any, results: Path) -> None:
    assert open_report(page, results / "a" / "report.html") == browser[0]
    assert page.locator("h1").inner_text() == "second"
    assert page.locator(".still").is_hidden()
    assert page.locator(".bar").count() == 5
    page.emulate_media(media="print")
    assert page.locator(".still img").is_visible()
    assert page.locator("#viewer").is_hidden()


def test_the_sliders_change_what_is_seen(page: Any, results: Path, tmp_path: Path) -> None:
    open_report(page, results / "a" / "report.html")
    page.select_option("#base", "difference")
    spread = []
    for blend in ("0", "100"):  # after registration only the cross and the border that wrapped around have colour
        page.fill("#blend", blend)
        shown = picture(page, tmp_path)
        spread.append((np.ptp(shown, axis=2) > 60).sum())
    assert spread[1] < 0.6 * spread[0]
    page.select_option("#base", "fixed")
    assert page.locator("#blend").is_disabled()
    before = picture(page, tmp_path)
    for name in ("axial", "coronal", "sagittal"):
        page.fill(f"#{name}", "14")
        after = picture(page, tmp_path)
        assert (before != after).any()
        before = after


def test_maps_are_coloured_by_their_scale(page: Any, results: Path, tmp_path: Path) -> None:
    open_report(page, results / "a" / "report.html")
    page.select_option("#base", "fixed")
    grey = picture(page, tmp_path)
    page.select_option("#map", "displacement")
    page.fill("#opacity", "100")
    coloured = picture(page, tmp_path)
    changed = (np.abs(coloured - grey) > 8).any(axis=2)
    red, green, blue = np.median(coloured[changed], axis=0)
    assert (red, green, blue) == pytest.approx((253, 231, 37), abs=4)  # 6 mm of 6 mm: the last colour of viridis
    assert "used" in page.locator("#bar-displacement").get_attribute("class").split()
    page.select_option("#map", "")
    assert np.abs(picture(page, tmp_path) - grey).max() <= 2


def test_the_values_at_the_cross_are_those_of_the_volumes(page: Any, results: Path) -> None:
    open_report(page, results / "a" / "report.html")
    for name, index in (("sagittal", "20"), ("coronal", "18"), ("axial", "22")):
        page.fill(f"#{name}", index)
    pair = make_registered((0.0, 0.0, 2.0))
    text = page.locator("#readout").inner_text()
    (shown_hu,) = re.findall(r"fixed (-?\d+) HU", text)
    assert float(shown_hu) == pytest.approx(float(pair["fixed"][0, 20, 18, 22]), abs=3)  # 8 bits of 1200 HU
    assert "displacement ≥ 6.00 mm" in text
    assert "Jacobian 1.00" in text
    assert "inverse consistency 0.00 mm" in text


def test_the_index_sorts_by_a_click(page: Any, results: Path) -> None:
    page.goto((results / "index.html").as_uri())

    def names() -> list[str]:
        return page.locator("tbody th").all_inner_texts()

    assert names() == ["first <b>", "c", "second"]
    page.get_by_role("button", name="TRE, mm").click()
    assert names() == ["second", "first <b>", "c"]  # without landmarks last
    for order in ("ascending", "descending"):
        page.get_by_role("button", name="LNCC", exact=True).click()
        assert page.locator("th[aria-sort=ascending], th[aria-sort=descending]").count() == 1
        assert (
            page.locator("th", has=page.get_by_role("button", name="LNCC", exact=True)).get_attribute("aria-sort")
            == order
        )
    assert names()[-1] == "c"
    page.get_by_role("button", name="pair").click()
    assert names() == ["c", "first <b>", "second"]
    page.get_by_role("link", name="second").click()
    page.wait_for_function("document.body.dataset.viewer", timeout=TIMEOUT_MS)
    assert page.locator("h1").inner_text() == "second"
