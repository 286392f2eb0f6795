from __future__ import annotations

from collections.abc import Iterator

import pytest

from bundle.cohort.session import ray_session

REASON = "requirements-cohort.txt: how cohorts run on Ray"


@pytest.fixture(scope="module")
def ray_here() -> Iterator[None]:
    """Ray on this machine, once for a module."""
    pytest.importorskip("ray", reason=REASON)
    with ray_session(None, processors=2):
        yield
