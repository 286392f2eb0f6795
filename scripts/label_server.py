"""MONAI Label's command line, made to start on machines without GPU.

PyPI's torchvision is built for the GPU build of torch. With a CPU build it cannot load its operators, and its import
fails because two of them are missing. MONAI Label imports torchvision but calls neither: declaring them is enough.
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).absolute().parents[1]))  # run as a file, from any folder

from bundle.processors import share_processors

share_processors()

import torch  # noqa: E402  # reads how its threads wait as it loads

OPERATORS = (
    "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
)


def declare_operators() -> torch.library.Library:
    """Declare the operators that torchvision looks up at import, for the lifetime of the returned library."""
    library = torch.library.Library("torchvision", "FRAGMENT")
    for operator in OPERATORS:
        library.define(operator)
    return library


if __name__ == "__main__":
    library = declare_operators() if torch.version.cuda is None else None
    from monailabel.main import Main

    Main().run()
