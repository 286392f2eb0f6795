"""MONAI Label's command line, with this bundle's checks and limits of requests, that also starts without a GPU.

PyPI's torchvision is built for the GPU build of torch. With a CPU build it cannot load its operators, and its import
fails because two of them are missing. MONAI Label imports torchvision but calls neither: declaring them is enough.
"""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).absolute().parents[1]))  # run as a file, from any folder

from bundle.processors import share_processors

share_processors()

import torch  # noqa: E402  # reads how its threads wait as it loads

OPERATORS = (
    "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
)
SERVICE = "bundle.hosts.label.service:app"
LOGS = "logs"  # MONAI Label writes to this folder of an app


def declare_operators() -> torch.library.Library:
    """Declare the operators that torchvision looks up at import, for the lifetime of the returned library."""
    library = torch.library.Library("torchvision", "FRAGMENT")
    for operator in OPERATORS:
        library.define(operator)
    return library


def writable_app(app: Path, folder: Path) -> Path:
    """An app that MONAI Label can write its logs to: the one given, or links to its files in `folder`."""
    if os.access(app, os.W_OK):
        return app
    place = folder / "app"
    place.mkdir()
    for entry in app.iterdir():
        if entry.name != LOGS:
            (place / entry.name).symlink_to(entry)
    return place


def main(temporary: Path) -> None:
    """Run the command line; posted files and other temporary files go to `temporary`."""
    from monailabel.config import settings
    from monailabel.main import Main

    from bundle.hosts.label.conf import UPLOADS, server_conf

    class CheckedMain(Main):
        """Serves the checked application, to this machine unless told otherwise."""

        def args_start_server(self, parser):  # type: ignore[no-untyped-def]  # of MONAI Label
            super().args_start_server(parser)
            parser.set_defaults(uvicorn_app=SERVICE, host="127.0.0.1")

        def start_server_init_settings(self, args):  # type: ignore[no-untyped-def]  # of MONAI Label
            args.app = str(writable_app(Path(args.app), temporary))
            args.conf = [*(args.conf or []), [UPLOADS, str(temporary)]]
            settings.MONAI_LABEL_SESSIONS = False
            super().start_server_init_settings(args)
            server_conf()  # what is wrong with it is known before the server starts

    os.environ["TMPDIR"] = tempfile.tempdir = str(temporary)
    CheckedMain().run()


if __name__ == "__main__":
    from bundle.refusals import refusals

    library = declare_operators() if torch.version.cuda is None else None
    with refusals(), tempfile.TemporaryDirectory(prefix="label_server_") as own:  # only this user may read it
        main(Path(own))
