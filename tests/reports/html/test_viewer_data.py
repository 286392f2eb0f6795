from __future__ import annotations

import base64

import numpy as np

from bundle.reports.html.viewer_data import viewer_data
from bundle.reports.html.volumes import report_volumes
from tests.reports.html.registered import SPACING_MM, make_registered


def test_every_volume_has_a_scale_and_every_scale_its_colours() -> None:
    volumes = report_volumes(make_registered())
    data = viewer_data(volumes)
    assert list(data["volumes"]) == ["fixed", "before", "warped", "displacement", "jacobian", "inverse_consistency"]
    assert set(data["bars"]) == set(data["colours"])
    for text in data["colours"].values():
        assert len(base64.b64decode(text)) == 3 * 256
    assert data["volumes"]["displacement"]["high"] == volumes.volumes["displacement"].high
    np.testing.assert_allclose(data["spacing_mm"], SPACING_MM)


def test_colours_are_light_where_nothing_changed() -> None:
    data = viewer_data(report_volumes(make_registered()))
    for name in ("difference", "jacobian"):
        colours = np.frombuffer(base64.b64decode(data["colours"][name]), np.uint8).reshape(256, 3)
        assert colours[127:129].min() > 235
