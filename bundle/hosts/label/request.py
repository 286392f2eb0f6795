"""Convert a MONAI Label request to the network's input."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Callable, Hashable, Mapping
from pathlib import Path
from typing import Any

import torch
from monai.transforms import Transform
from monai.utils import optional_import

from bundle.data import FILE_KEYS, OPTION_KEYS, PairFiles, pairs_to_register
from bundle.hosts.label.conf import server_conf
from bundle.hosts.label.paths import check_inside, check_readable
from bundle.hosts.label.refusal import refusal
from bundle.hosts.label.result_folders import new_folder

log = logging.getLogger(__name__)

HTTPException, in_server = optional_import("fastapi", name="HTTPException")
PATHS = tuple(key for key in FILE_KEYS if key not in ("fixed", "moving", "displacement"))
PARAMETERS = (*PATHS, *OPTION_KEYS)
BAD_REQUEST = 400

Prepare = Callable[[dict[str, str]], dict[Hashable, Any]]


class LabelRequestd(Transform):
    """Read and preprocess the pair of a MONAI Label request.

    The fixed scan is the request's `image`; the moving scan is its parameter `moving` or the posted file `label`. The
    other files of a pair (`PATHS`) are optional parameters, paths on the server, as are `OPTION_KEYS`. Each request
    gets a new result folder; one that is refused leaves none. Paths, folder and disk obey the server's `ServerConf`.
    MONAI Label passes only `image` to the inferer, so `mask_net` becomes its third channel.

    Args:
        preprocessing: transforms of a pair, from paths to `image` (2, H, W, D) and `mask_net` (1, H, W, D).
        output_dir: parent of the folders of all requests, if writable.
    Raises: errors of the request and its files; in a server fastapi.HTTPException (400; 507 for a full disk) with their
        text, the only error whose text clients see.
    """

    def __init__(self, *, preprocessing: Prepare, output_dir: str | Path) -> None:
        self.preprocessing = preprocessing
        self.output_dir = Path(output_dir)

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        request = dict(data)
        fixed, moving = request["image"], request.get("moving") or request.get("label")
        given = {key: request.pop(key, None) for key in PARAMETERS}
        folder = None
        try:
            if not fixed:
                raise ValueError("image: expected an id of the datastore or a path on the server")
            if not moving:
                raise ValueError('moving: expected params={"moving": a path on the server} or a file posted as label')
            conf = server_conf()
            for option, path in {"image": fixed, "moving": moving, **{key: given[key] for key in PATHS}}.items():
                if path:
                    check_inside(option, path, conf.allowed_root)
                    check_readable(option, path)
            folder = new_folder(self.output_dir, Path(fixed).name.split(".")[0], conf)
            (pair,) = pairs_to_register(output_dir=folder, pair=PairFiles(fixed=fixed, moving=moving, **given))
            prepared = self.preprocessing(pair)
        except (OSError, ValueError, RuntimeError) as error:
            if folder is not None:
                shutil.rmtree(folder, ignore_errors=True)
            if not in_server:
                raise
            status, text = refusal(error) or (BAD_REQUEST, str(_reason(error)))
            log.warning("request refused: %s", text)
            raise HTTPException(status, text) from error
        image = torch.cat([prepared["image"], prepared["mask_net"]])
        return {**request, **prepared, "image": image}


def _reason(error: BaseException) -> BaseException:
    """The original error inside MONAI's "applying transform ..."."""
    while isinstance(error, RuntimeError) and error.__cause__ is not None:
        error = error.__cause__
    return error
