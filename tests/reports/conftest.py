"""A scan of known anatomy in any orientation."""

from __future__ import annotations

from collections.abc import Callable

import nibabel
import numpy as np
import pytest
import torch
from torch import Tensor

CANONICAL_SHAPE = (20, 24, 12)  # right, anterior, superior
CANONICAL_SPACING_MM = (1.5, 1.0, 3.0)

Store = Callable[[np.ndarray, str], tuple[Tensor, Tensor]]


@pytest.fixture
def stored_as() -> Store:
    """Store an array with axes right, anterior, superior under other axis codes: the volume and its affine."""

    def store(canonical: np.ndarray, codes: str) -> tuple[Tensor, Tensor]:
        affine = np.diag([*CANONICAL_SPACING_MM, 1.0])
        affine[:3, 3] = (-7.0, 31.0, -200.0)
        orientation = nibabel.orientations.ornt_transform(
            nibabel.orientations.axcodes2ornt("RAS"), nibabel.orientations.axcodes2ornt(codes)
        )
        stored = nibabel.orientations.apply_orientation(canonical, orientation)
        affine = affine @ nibabel.orientations.inv_ornt_aff(orientation, canonical.shape)
        return torch.from_numpy(stored.copy()).float(), torch.from_numpy(affine)

    return store
