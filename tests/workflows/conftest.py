from __future__ import annotations

from pathlib import Path

import pytest

from tests.workflows.commands import train


@pytest.fixture(scope="session")
def trained(small_phantoms: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """Output folder of a training of four epochs, not to be changed, and what it printed."""
    out = tmp_path_factory.mktemp("trained")
    return out, train(small_phantoms, out, "--max_epochs", "4", "--val_interval", "2")
