"""The transform of a result folder as the field it was written from."""

from __future__ import annotations

import itk
import torch

from bundle.geometry import WorldTransform, swap_ras_lps_affine
from bundle.io.displacement import displacement_from_itk


def field_of(transform: itk.Transform, *, name: str = "transform") -> WorldTransform:
    """The field on its own grid, and the affine after it, of an ITK transform: `bundle.io.itk_transform` reversed.

    Args:
        transform: fixed to moving points, LPS mm, as `bundle.io.read_transform` reads it.
        name: of the transform, for errors.
    Raises: ValueError unless it is one displacement field and one affine after it.
    """
    parts = _parts(transform)
    if [part.GetNameOfClass() for part in parts] != ["DisplacementFieldTransform", "AffineTransform"]:
        found = ", ".join(part.GetNameOfClass() for part in parts)
        raise ValueError(f"{name}: expected the transform of a registration, a field and then an affine, got {found}")
    field, affine = parts
    displacement_mm, grid = displacement_from_itk(field.GetDisplacementField())
    ddf_vox = torch.einsum("ab,bhwd->ahwd", torch.linalg.inv(grid[:3, :3]).to(displacement_mm), displacement_mm)
    after = torch.eye(4, dtype=torch.float64)
    after[:3, :3] = torch.from_numpy(itk.array_from_matrix(affine.GetMatrix()))
    after[:3, 3] = torch.tensor(list(affine.GetOffset()), dtype=torch.float64)
    return WorldTransform(ddf_vox[None], grid, swap_ras_lps_affine(after) @ grid)


def _parts(transform: itk.Transform) -> list[itk.Transform]:
    """The parts of a transform in the order in which they are applied: ITK applies the last one first."""
    if not isinstance(transform, itk.CompositeTransform[itk.D, 3]):
        return [transform]
    numbers = reversed(range(transform.GetNumberOfTransforms()))
    return [itk.down_cast(transform.GetNthTransform(number)) for number in numbers]
