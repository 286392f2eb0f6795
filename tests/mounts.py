"""Folders that cannot be written, also by root, and disks that are soon full."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


@contextmanager
def read_only(folder: Path) -> Iterator[None]:
    """Make a folder read-only: by its mode, or by a mount for root, whom modes do not bind."""
    if os.getuid() != 0:
        mode = folder.stat().st_mode
        folder.chmod(0o555)
        try:
            yield
        finally:
            folder.chmod(mode)
        return
    mount(["--bind", str(folder)], folder)
    try:
        mount(["-o", "remount,bind,ro"], folder)
        yield
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True)


@contextmanager
def small_disk(folder: Path, size: str) -> Iterator[None]:
    """Mount a file system in memory of some size, such as 2m, on a folder."""
    mount(["-t", "tmpfs", "-o", f"size={size}", "tmpfs"], folder)
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True)


def mount(options: list[str], folder: Path) -> None:
    """Mount, or skip the test where this is not permitted."""
    try:
        subprocess.run(["mount", *options, folder], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("mounting is not permitted here: read-only folders and full disks stay unchecked")
