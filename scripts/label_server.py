"""MONAI Label's command line, which on a machine without GPU cannot start by itself.

PyPI's torchvision is built for the GPU build of torch: beside a CPU build it cannot load its operators and fails to be
imported for want of two of them. MONAI Label imports torchvision but calls neither, so that their names are enough.
"""

from __future__ import annotations

import torch

OPERATORS = (
    "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
)


def declare_operators() -> torch.library.Library:
    """Declare what torchvision looks up when it is imported; it lasts as long as the library returned."""
    library = torch.library.Library("torchvision", "FRAGMENT")
    for operator in OPERATORS:
        library.define(operator)
    return library


if __name__ == "__main__":
    library = declare_operators() if torch.version.cuda is None else None
    from monailabel.main import Main

    Main().run()
