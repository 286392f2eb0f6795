"""Atomic writing of files, and of folders by several processes."""

from __future__ import annotations

import atexit
import logging
import os
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

log = logging.getLogger(__name__)


@contextmanager
def atomic_path(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Yield a temporary path in the folder of `path`; it replaces `path` on success and is removed on failure.

    The temporary file has the name of `path`, so writers that choose the format by suffix (.nii.gz) work.
    Raises: FileNotFoundError if the folder does not exist; OSError if it is not writable.
    """
    path = Path(path)
    if not path.parent.is_dir():
        raise FileNotFoundError(f"{path}: the folder {path.parent} does not exist")
    with tempfile.TemporaryDirectory(prefix=f".{path.name}.", dir=path.parent) as folder:
        temporary = Path(folder) / path.name
        try:
            yield temporary
        except OSError as error:
            if error.errno is not None and error.filename is None:
                error.filename = str(path)  # writing to an open file, as on a full disk, does not name it
            raise
        os.replace(temporary, path)


def check_writable(folder: str | os.PathLike[str], advice: str = "") -> None:
    """Check, before the work on what is written to it, an existing folder. Raises: PermissionError."""
    if not os.access(Path(folder).absolute(), os.W_OK | os.X_OK):
        raise PermissionError(f"{folder}: the output folder is not writable{advice}")


def make_folder(folder: str | os.PathLike[str]) -> None:
    """Create a folder for results, if it is missing, before the work on them.

    What was created goes when the process ends, if it is still empty then: after an error, or Ctrl-C.
    Raises: OSError if the folder is not writable.
    """
    place = Path(folder).absolute()
    missing = [part for part in (place, *place.parents) if not part.exists()]
    try:
        place.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise NotADirectoryError(
            f"{folder}: the output folder cannot be created: {error.strerror}; name another with --output_dir"
        ) from error
    check_writable(folder, "; name another with --output_dir")
    atexit.register(_remove_empty, missing)


def _remove_empty(folders: Sequence[Path]) -> None:
    """Remove folders, the deepest first, up to one that holds something."""
    with suppress(OSError):
        for folder in folders:
            folder.rmdir()


@contextmanager
def locked_folder(folder: str | os.PathLike[str]) -> Iterator[None]:
    """Hold an existing folder for this process: others that do so wait, so that each writes all its files at once.

    The lock ends with the process and leaves no file. Where the system has none (Windows, some network drives), nothing
    is locked, with a warning.
    """
    if fcntl is None:
        log.warning("%s: folders cannot be locked here; run one process in a folder at a time", folder)
        yield
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            log.warning("%s: another process is writing to this folder; waiting, then replacing its results", folder)
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        except OSError as error:
            log.warning("%s: the folder cannot be locked (%s); run one process in it at a time", folder, error.strerror)
        yield
    finally:
        os.close(descriptor)
