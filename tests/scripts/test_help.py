from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
HEAVY = ("torch", "monai", "itk")
SHOW_HELP = f"""
import runpy, sys
sys.argv[1:] = sys.argv[1:] + ["--help"]
try:
    runpy.run_module(sys.argv.pop(1), run_name="__main__", alter_sys=True)
except SystemExit as stopped:
    loaded = [name for name in {HEAVY!r} if name in sys.modules]
    sys.exit(f"imported: {{loaded}}" if loaded else stopped.code)
"""


def commands() -> list[str]:
    """Modules of all scripts that are python-fire command lines."""
    names = []
    for path in sorted((ROOT / "scripts").rglob("*.py")):
        text = path.read_text()
        if "__main__" in text and ("fire.Fire(" in text or "from scripts.cli import" in text) and path.stem != "cli":
            names.append(".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__main__"))
    return names


def test_the_commands_are_found() -> None:
    assert {"scripts.benchmark", "scripts.benchmark.tool", "scripts.make_phantoms", "scripts.register"} <= {*commands()}


@pytest.mark.parametrize("module", commands())
def test_help_is_shown_without_heavy_imports(module: str) -> None:
    command = [sys.executable, "-c", SHOW_HELP, module]
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    shown = done.stdout
    assert done.returncode == 0, shown
    assert "SYNOPSIS" in shown
    assert "FIRE_METADATA" not in shown
