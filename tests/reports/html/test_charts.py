from __future__ import annotations

import re
import xml.etree.ElementTree as ElementTree

import numpy as np
import torch

from bundle.quality import Residuals, VesselResidual
from bundle.reports.html.charts import error_chart, error_histogram
from tests.reports.html.registered import make_registered


def test_a_histogram_is_svg_with_its_numbers_as_text() -> None:
    svg = error_histogram(
        np.array([1.0, 2.0, 4.5]), before_mm=np.array([9.0, 9.0, 12.0]), limit_mm=2.0, xlabel="TRE, mm"
    )
    assert ElementTree.fromstring(svg).tag.endswith("svg")
    for text in (
        "registered, mean 2.50 mm",
        "after the initial alignment, mean 10.00 mm",
        "tolerance, 2 mm",
        "TRE, mm",
    ):
        assert text in svg
    assert not re.search(r"<\?xml|<!DOCTYPE", svg)


def test_equal_errors_make_equal_pictures() -> None:
    first, second = (error_histogram(np.zeros(3), xlabel="mm") for _ in range(2))
    assert first == second


def test_landmarks_come_before_vessels() -> None:
    chart = error_chart(make_registered(with_landmarks=True), None)
    assert "registered, mean 2.50 mm" in chart
    assert "after the initial alignment, mean 10.00 mm" in chart
    assert "4 landmarks" in chart


def test_vessels_without_a_counterpart_are_left_out() -> None:
    vessels = VesselResidual(torch.tensor([1.0, 2.0, 9.0]), torch.tensor([0.9, 0.8, 0.1]))
    chart = error_chart(make_registered(), Residuals(vessels, torch.zeros(0)))
    assert "registered, mean 1.50 mm" in chart
    assert "2 vessels" in chart


def test_without_either_the_page_says_so() -> None:
    none = VesselResidual(torch.zeros(0), torch.zeros(0))
    for residuals in (None, Residuals(none, torch.zeros(0))):
        assert "Not measured" in error_chart(make_registered(), residuals)
