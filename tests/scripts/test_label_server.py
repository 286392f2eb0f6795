from __future__ import annotations

import subprocess

import pytest
import torch

from scripts.label_server import declare_operators
from tests.hosts.label_server import MAIN, PYTHON, needs_label


def test_what_torchvision_looks_up_is_declared() -> None:
    library = declare_operators()
    assert str(torch.ops.torchvision.nms.default) == "torchvision.nms.default"
    assert str(torch.ops.torchvision.qnms.default) == "torchvision.qnms.default"
    del library


@pytest.mark.slow
@needs_label
def test_monai_label_starts_and_says_its_version() -> None:
    done = subprocess.run([PYTHON, MAIN, "--version"], capture_output=True, text=True, check=True)
    assert "MONAILabel version: 0.8.5" in done.stdout
