"""What `--conf NAME VALUE` sets for requests to a MONAI Label server."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from monai.utils import optional_import

UPLOADS = "uploads_dir"  # set by scripts/label_server.py


@dataclass(frozen=True, kw_only=True)
class ServerConf:
    """Limits of a server.

    Args:
        allowed_root: folders that requests may read, resolved; none allows every path.
        results_dir: parent of the result folders; None leaves the config's `output_dir`.
        keep_hours: results are removed so long after they were written.
        max_results_gb: results that are kept; further requests are refused until some are removed.
        min_free_gb: space that requests leave on the disk of results and of posted files.
        max_request_mb: size of a request with its posted files.
        max_waiting: requests that wait while one is computed; further ones are refused.
    """

    allowed_root: tuple[Path, ...] = ()
    results_dir: Path | None = None
    keep_hours: float = 24.0
    max_results_gb: float = 50.0
    min_free_gb: float = 1.0
    max_request_mb: float = 4096.0
    max_waiting: int = 8

    @classmethod
    def read(cls, conf: Mapping[str, str], studies: str = "") -> ServerConf:
        """Read what is set.

        Args:
            conf: `--conf` of the server; `allowed_root` may hold several folders, separated as in PATH.
            studies: folder of the datastore, which is allowed too.
        Raises: ValueError naming the setting; FileNotFoundError for an `allowed_root` that does not exist.
        """
        given: dict[str, Any] = {}
        for field in dataclasses.fields(cls):
            if field.name in conf and field.name not in ("allowed_root", "results_dir"):
                given[field.name] = _number(field.name, conf[field.name], whole=isinstance(field.default, int))
        if "results_dir" in conf:
            given["results_dir"] = Path(conf["results_dir"]).absolute()
        if "allowed_root" in conf:
            roots = [Path(part) for part in conf["allowed_root"].split(os.pathsep)]
            for root in roots:
                if not root.is_absolute():
                    raise ValueError(f"allowed_root: expected absolute paths of folders, got {str(root)!r}")
                if not root.is_dir():
                    raise FileNotFoundError(f"allowed_root: {root}: no such folder")
            own = [Path(part) for part in (studies, conf.get(UPLOADS, "")) if part and Path(part).is_dir()]
            given["allowed_root"] = tuple(folder.resolve() for folder in [*roots, *own])
        return cls(**given)


def server_conf() -> ServerConf:
    """The settings of the server that this process is; defaults outside one."""
    settings, in_server = optional_import("monailabel.config", name="settings")
    if not in_server:
        return ServerConf()
    return ServerConf.read(settings.MONAI_LABEL_APP_CONF, settings.MONAI_LABEL_STUDIES)


def _number(name: str, text: str, *, whole: bool) -> float:
    try:
        value: float = int(text) if whole else float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value < float("inf"):
        raise ValueError(f"{name}: expected a {'whole ' if whole else ''}number of 0 or more, got {text!r}")
    return value
