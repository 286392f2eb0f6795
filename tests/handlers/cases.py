"""Hand-made cases for handlers: points at known distances from the moving landmarks."""

from __future__ import annotations

from typing import Any

import torch

Case = dict[str, Any]


def make_case(name: str, *, none: float, aligned: float, registered: float, landmarks: int = 4) -> Case:
    """A case whose points lie the given distances (mm) from the moving landmarks, along a 2 mm axis of the scan."""
    generator = torch.Generator().manual_seed(landmarks)
    moving = torch.randint(-40, 40, (landmarks, 3), generator=generator).double() * 2
    axis = torch.tensor([0.0, 1.0, 0.0], dtype=torch.float64)
    return {
        "name": name,
        "image": torch.zeros(1, 4, 5, 6),
        "fixed_landmarks": moving + none * axis,
        "moving_landmarks": moving,
        "moving_affine": torch.diag(torch.tensor([1.0, 2.0, 1.0, 1.0], dtype=torch.float64)),
        "later_aligned_landmarks": moving + aligned * axis,
        "later_mapped_landmarks": moving + registered * axis,
    }


def reveal(case: Case) -> Case:
    """Postprocessing: results appear after the network, in the engine's output, while inputs stay in its batch."""
    return case | {key.removeprefix("later_"): value for key, value in case.items() if key.startswith("later_")}
