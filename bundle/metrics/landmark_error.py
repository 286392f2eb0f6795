"""Error of the landmarks themselves, the smallest registration error they can measure."""

from __future__ import annotations

import torch
from torch import Tensor


def landmark_rms_error_mm(first_mm: Tensor, second_mm: Tensor, moving_mm: Tensor) -> float:
    """Root mean square error of moving landmarks, from the fixed landmarks mapped by two independent methods.

    Triple collocation: three measurements a, b, l of the same points with independent errors satisfy
    <(a - l) (b - l)> = <error of l squared>. Errors shared by two of the three bias the estimate: errors shared by both
    methods increase it.

    Args:
        first_mm, second_mm: (N, 3), the fixed landmarks mapped by each method, RAS mm.
        moving_mm: (N, 3), the moving landmarks, RAS mm.
    Returns: mm; 0 if the estimated square is negative, which occurs by chance for exact landmarks.
    Raises: ValueError unless all three are (N, 3) with matching rows.
    Source: Stoffelen 1998, J. Geophys. Res. 103(C4).
    """
    if moving_mm.ndim != 2 or moving_mm.shape[1] != 3 or not first_mm.shape == second_mm.shape == moving_mm.shape:
        raise ValueError(
            "first_mm, second_mm and moving_mm: expected three sets (N, 3) with matching rows, "
            f"got {tuple(first_mm.shape)}, {tuple(second_mm.shape)} and {tuple(moving_mm.shape)}"
        )
    moving = moving_mm.double()
    square = ((first_mm.double() - moving) * (second_mm.double() - moving)).sum(dim=1).mean()
    return float(torch.sqrt(square.clamp_min(0)))
