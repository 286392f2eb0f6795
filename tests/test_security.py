"""What docs/security.md says about the code."""

from __future__ import annotations

import ast
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SOURCES = sorted(path for folder in ("bundle", "scripts", "tests") for path in (ROOT / folder).rglob("*.py"))
EXECUTING = {"eval", "exec", "pickle.load", "pickle.loads", "yaml.load", "torch.jit.load", "joblib.load", "os.system"}
TORCH_LOADERS = {"torch.load", "torch.hub.load", "torch.hub.load_state_dict_from_url"}


def calls(tree: ast.AST) -> Iterator[tuple[str, ast.Call]]:
    """All calls by their dotted names; those that were imported from a module or renamed have their full name."""
    imported = {
        alias.asname or alias.name: f"{node.module}.{alias.name}"
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    renamed = {
        alias.asname: alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.Import)
        for alias in node.names
        if alias.asname
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            name = ast.unparse(node.func)
            first, dot, rest = name.partition(".")
            yield {**imported, **renamed}.get(first, first) + dot + rest, node


def unsafe(text: str) -> list[str]:
    """Calls of a source that read weights with more than tensors, or execute what they read."""
    found = []
    for name, call in calls(ast.parse(text)):
        options = {keyword.arg: keyword.value for keyword in call.keywords}
        is_true = {key for key, value in options.items() if isinstance(value, ast.Constant) and value.value is True}
        if (name in TORCH_LOADERS and "weights_only" not in is_true) or name in EXECUTING or "allow_pickle" in is_true:
            found.append(f"line {call.lineno}: {name}")
    return found


@pytest.mark.parametrize(
    "text",
    [
        "import torch\ntorch.load('a.pt')",
        "import torch\ntorch.load('a.pt', weights_only=False)",
        "import torch\ntorch.load('a.pt', weights_only=flag)",
        "from torch import load\nload('a.pt')",
        "import torch as t\nt.load('a.pt')",
        "from pickle import loads as read\nread(b'')",
        "import numpy as np\nnp.load('a.npy', allow_pickle=True)",
        "eval('1')",
    ],
)
def test_the_search_finds_what_it_is_for(text: str) -> None:
    assert unsafe(text)
    assert not unsafe("import torch\ntorch.load('a.pt', map_location='cpu', weights_only=True)")


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_weights_are_read_as_tensors_only_and_nothing_that_is_read_is_executed(path: Path) -> None:
    found = unsafe(path.read_text())
    if path.is_relative_to(ROOT / "tests"):
        found = [call for call in found if "torch.jit.load" not in call]  # of exports made there
    assert not found, f"{path}: {found}"


def test_handlers_of_monai_that_read_checkpoints_do_so_as_well() -> None:
    """`CheckpointLoader` passes no option on: the default of PyTorch must be the safe one."""
    import inspect

    import monai.handlers.checkpoint_loader as loader
    import torch

    (call,) = re.findall(r"torch\.load\(.*\)", inspect.getsource(loader))
    assert "weights_only=False" not in call
    assert inspect.signature(torch.load).parameters["weights_only"].default is not False


@pytest.mark.slow
def test_the_audit_ends_with_a_message_where_there_is_no_registry(tmp_path: Path) -> None:
    (tmp_path / ".ci").mkdir()
    for name in (".ci/audit", "requirements-audit.txt"):
        shutil.copy(ROOT / name, tmp_path / name)
    offline = {"PIP_INDEX_URL": "http://127.0.0.1:9/simple", "PIP_EXTRA_INDEX_URL": "", "PIP_FIND_LINKS": ""}
    done = subprocess.run(
        ["bash", tmp_path / ".ci" / "audit"],
        env={**os.environ, **offline, "PIP_CONFIG_FILE": os.devnull},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (
        0,
        "audit skipped: pip-audit and cyclonedx-bom cannot be installed here\n",
    )
    assert not (tmp_path / ".venv-audit").exists()
