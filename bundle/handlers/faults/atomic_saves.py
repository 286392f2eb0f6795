"""Checkpoints that are whole or not there: MONAI's CheckpointSaver writes in place."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import ignite.distributed as idist
from ignite.handlers import Checkpoint

from bundle.io.atomic import atomic_path


def save_atomically(checkpoint: Checkpoint) -> None:
    """Let one of the savers inside MONAI's CheckpointSaver replace a file only by a complete one.

    If a file cannot be written, as on a full disk, an OSError names it and the earlier file stays. Ignite removes the
    earlier one before it saves: of files with one name, nothing is removed, since the new one replaces it.
    """
    handler = checkpoint.save_handler
    handler._save_func = _save
    handler.remove = partial(_remove, None if handler.filename else handler.dirname)


def remove_remains(folder: Path, pattern: str) -> None:
    """Remove what processes that were killed while they wrote files of a pattern have left.

    Call it before anything is written: it would also remove what another process is writing.
    """
    for remains in folder.glob(f".{pattern}.*"):
        shutil.rmtree(remains, ignore_errors=True)


def _remove(folder: Path | None, filename: str) -> None:
    if folder is not None and idist.get_rank() == 0:
        (folder / filename).unlink(missing_ok=True)


def _save(content: Mapping[str, Any], path: Path, save: Callable[..., None], **options: Any) -> None:
    try:
        with atomic_path(path) as temporary:
            save(content, temporary, **options)
    except (OSError, RuntimeError) as error:  # the latter from PyTorch's writer
        reason = getattr(error, "strerror", None) or str(error).splitlines()[0]
        raise OSError(
            f"{path}: cannot be written ({reason}); earlier checkpoints are unchanged: once there is space again, "
            "continue with --resume true"
        ) from error
