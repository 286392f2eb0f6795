"""How exact landmarks are themselves: no registration can be told to be better than that."""

from __future__ import annotations

import torch
from torch import Tensor


def landmark_rms_error_mm(first_mm: Tensor, second_mm: Tensor, moving_mm: Tensor) -> float:
    """Root mean square error of moving landmarks, from two methods that carried the fixed ones independently.

    Triple collocation (Stoffelen 1998, J. Geophys. Res. 103(C4)): three measurements a, b, l of the same points whose
    errors are independent have <(a - l) (b - l)> = <error of l squared>. Errors that the two methods share, or the
    landmarks share with one of them, count as the landmarks'.

    Args:
        first_mm, second_mm: (N, 3), the fixed landmarks carried by either method, RAS mm.
        moving_mm: (N, 3), their counterparts.
    Returns: mm; 0 where the estimate of the square falls below 0, as chance has it with exact landmarks.
    Raises: ValueError unless all three are (N, 3) with matching rows.
    """
    if moving_mm.ndim != 2 or moving_mm.shape[1] != 3 or not first_mm.shape == second_mm.shape == moving_mm.shape:
        raise ValueError(
            "first_mm, second_mm and moving_mm: expected three sets (N, 3) with matching rows, "
            f"got {tuple(first_mm.shape)}, {tuple(second_mm.shape)} and {tuple(moving_mm.shape)}"
        )
    moving = moving_mm.double()
    square = ((first_mm.double() - moving) * (second_mm.double() - moving)).sum(dim=1).mean()
    return float(torch.sqrt(square.clamp_min(0)))
