"""The result folders of a server: writable, within its limits, and removed after a set time."""

from __future__ import annotations

import errno
import logging
import os
import re
import shutil
import tempfile
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

from bundle.data.pairs_to_register import REPORT
from bundle.hosts.label.conf import ServerConf
from bundle.io import make_folder

log = logging.getLogger(__name__)

NAME = re.compile(r".*_[0-9a-f]{32}")  # of the folders made here; no other folder is removed
UNFINISHED_H = 1.0  # a request without a report after this time has failed
HOUR_S, GB = 3600.0, 1e9
places: set[Path] = set()  # parents of result folders that this process has used


def new_folder(parent: Path, scan: str, conf: ServerConf) -> Path:
    """A name for the result folder of a request, after old results are removed.

    Args:
        parent: the config's `output_dir`; the server's `results_dir` goes before it, and a temporary folder comes after
            it if it is not writable, as in a read-only bundle.
        scan: name of the fixed scan.
    Raises: OSError (ENOSPC) if the results or the disk are above their limits; PermissionError, NotADirectoryError.
    """
    parent = _writable(conf.results_dir or parent, is_named=conf.results_dir is not None)
    places.add(parent)
    remove_expired(parent, conf.keep_hours)
    check_disk(parent, conf.min_free_gb)
    used = sum(file.stat().st_size for folder in _results(parent) for file in folder.rglob("*") if file.is_file())
    if used > conf.max_results_gb * GB:
        text = f"results take {used / GB:.2f} GB, the limit is {conf.max_results_gb:g}; retry later"
        raise OSError(errno.ENOSPC, text, str(parent))
    return parent / f"{scan}_{uuid.uuid4().hex}"


def check_disk(folder: str | Path, min_free_gb: float, needed_bytes: int = 0) -> None:
    """Check that a disk keeps its reserve. Raises: OSError (ENOSPC)."""
    free = shutil.disk_usage(folder).free - needed_bytes
    if free < min_free_gb * GB:
        text = f"the disk must keep {min_free_gb:g} GB free, {max(free, 0) / GB:.2f} would be"
        raise OSError(errno.ENOSPC, text, str(folder))


def remove_expired(parent: Path, keep_hours: float) -> None:
    """Remove results older than `keep_hours`, and what failed requests have left."""
    for folder in _results(parent):
        report = folder / REPORT
        limit_h, dated = (keep_hours, report) if report.exists() else (max(keep_hours, UNFINISHED_H), folder)
        try:
            age_s = time.time() - dated.stat().st_mtime
        except FileNotFoundError:  # another process removed it
            continue
        if age_s > limit_h * HOUR_S:
            log.info("%s: removed after %.2f hours", folder, age_s / HOUR_S)
            shutil.rmtree(folder, ignore_errors=True)


def _results(parent: Path) -> Iterator[Path]:
    if parent.is_dir():
        for folder in parent.iterdir():
            if NAME.fullmatch(folder.name) and folder.is_dir() and not folder.is_symlink():
                yield folder


def _writable(folder: Path, *, is_named: bool) -> Path:
    """The folder, or one in the temporary folder unless it was named for results."""
    try:
        make_folder(folder)
    except OSError:
        if is_named:
            raise
        user = os.getuid() if hasattr(os, "getuid") else 0
        other = Path(tempfile.gettempdir()) / f"lung_ct_registration_{user}"
        other.mkdir(mode=0o700, exist_ok=True)
        if other.is_symlink() or other.stat().st_uid != user:
            raise PermissionError(f"{other}: belongs to another user; name a folder with --conf results_dir") from None
        log.warning("%s: not writable, results go to %s", folder, other)
        return other
    return folder
