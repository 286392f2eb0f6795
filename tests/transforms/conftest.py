from __future__ import annotations

from typing import Any

import pytest

from tests.transforms.registered import registered_pair


@pytest.fixture
def pair() -> dict[str, Any]:
    return registered_pair()
