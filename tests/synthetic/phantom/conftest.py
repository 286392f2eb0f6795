"""One coarse phantom for many tests."""

from __future__ import annotations

import pytest

from bundle.synthetic.phantom import PhantomCase, make_phantom

SPACING_MM = (4.0, 4.5, 5.0)


@pytest.fixture(scope="session")
def phantom() -> PhantomCase:
    return make_phantom(4, spacing_mm=SPACING_MM)
