"""Displacement fields as ITK transforms that are right outside the field, too, and their inverses.

ITK moves no point outside a field. A field of a file is therefore split: T(x) = A (x + r(x)), with the affine A of the
field's border and the rest r, as in the files of `write_transform`. r continues with its border values (`extend`), and
its inverse lies on the field's own grid, in the world in which r is small: scans may be any distance apart.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import itk
import numpy as np
import torch
import torch.nn.functional as F
from monai.data import MetaTensor
from torch import Tensor

from bundle.geometry import (
    WorldTransform,
    affine_columns,
    apply_affine,
    invert_ddf,
    slabs_of_points,
    spacing_mm,
    swap_ras_lps,
    swap_ras_lps_affine,
)
from bundle.io.displacement import displacement_from_itk
from bundle.io.headers import ImageHeader, affine_from_itk, set_itk_grid

MIN_VOLUME_FACTOR = 0.1  # of a border's affine; below it only its mean displacement is taken
MAX_BORDER_POINTS = 20_000
MAX_OUTSIDE_MM = 100.0  # or half of the field's side, if that is more: farther points belong to another world


def displacement_transform(displacement_mm: Tensor, affine: Tensor, precision: Any) -> itk.Transform:
    """ITK transform of a displacement (3, H, W, D), RAS mm, on the grid of `affine`; precision itk.F or itk.D."""
    image = itk.Image[itk.Vector[precision, 3], 3].New()
    image.SetRegions(list(displacement_mm.shape[1:]))
    set_itk_grid(image, affine)
    image.Allocate()
    itk.array_view_from_image(image)[:] = swap_ras_lps(displacement_mm.permute(3, 2, 1, 0)).numpy()
    transform = itk.DisplacementFieldTransform[precision, 3].New()
    transform.SetDisplacementField(image)
    return transform


def affine_transform(affine: Tensor, precision: Any) -> itk.AffineTransform:
    """ITK transform of a world affine (4, 4), RAS mm; precision itk.F or itk.D."""
    lps = swap_ras_lps_affine(affine)
    matrix = lps[:3, :3].numpy()
    transform = itk.AffineTransform[precision, 3].New()
    transform.SetMatrix(itk.matrix_from_array(matrix.astype(np.float32) if precision == itk.F else matrix))
    transform.SetTranslation(lps[:3, 3].tolist())
    return transform


def split_transform(displacement_mm: Tensor, affine: Tensor) -> itk.CompositeTransform:
    """ITK transform, LPS mm, of a displacement (3, H, W, D), RAS mm, on the grid of `affine`: A after x + r(x).

    A is the affine that fits the field on the faces of its grid. Inside the grid the result is the field itself.
    """
    outer = border_affine(displacement_mm, affine)
    inverse = torch.linalg.inv(outer)
    vectors, rest = inverse.clone(), inverse @ affine.double() - affine.double()  # A^-1 (x + u) - x
    vectors[:3, 3] = 0.0
    residual_mm = torch.empty_like(displacement_mm)
    for rows, points in slabs_of_points(displacement_mm.shape[1:], displacement_mm):
        part = affine_columns(vectors, displacement_mm[:, rows].flatten(1)) + affine_columns(rest, points.flatten(1))
        residual_mm[:, rows] = part.view_as(points)
    composite = itk.CompositeTransform[itk.D, 3].New()
    composite.AddTransform(affine_transform(outer, itk.D))
    composite.AddTransform(displacement_transform(residual_mm, affine, itk.D))  # ITK applies the last one first
    return composite


def border_affine(displacement_mm: Tensor, affine: Tensor) -> Tensor:
    """Least-squares affine (4, 4) float64 of x -> x + u(x), RAS mm, over the faces of the grid of u."""
    shape = displacement_mm.shape[1:]
    on_face = torch.ones(shape, dtype=torch.bool)
    on_face[tuple(slice(1, -1) for _ in shape)] = False
    vox = on_face.nonzero()
    vox = vox[:: max(1, len(vox) // MAX_BORDER_POINTS)]
    shifts = displacement_mm[:, vox[:, 0], vox[:, 1], vox[:, 2]].T.double()
    points = apply_affine(affine.double(), vox.double())
    result, centre = torch.eye(4, dtype=torch.float64), points.mean(dim=0)
    columns = torch.cat([points - centre, torch.ones(len(points), 1, dtype=torch.float64)], dim=1)
    solution = torch.linalg.lstsq(columns, shifts, driver="gelsd").solution
    if torch.linalg.det(torch.eye(3, dtype=torch.float64) + solution[:3].T) > MIN_VOLUME_FACTOR:
        result[:3, :3] += solution[:3].T
    result[:3, 3] = shifts.mean(dim=0) + centre - result[:3, :3] @ centre
    return result


def invert_transform(transform: itk.Transform, *, name: str = "transform") -> itk.Transform:
    """Inverse of a linear transform, a displacement field or a composite of them.

    Fields are inverted by fixed-point iteration on their own grid (`geometry.invert_ddf`).

    Args:
        name: of the transform, for errors.
    Raises: ValueError for a singular or another transform.
    """
    if isinstance(transform, itk.CompositeTransform[itk.D, 3]):
        inverse = itk.CompositeTransform[itk.D, 3].New()
        for part in _in_order(transform):
            inverse.AddTransform(invert_transform(part, name=name))
        return inverse
    if transform.IsLinear():
        inverse = transform.GetInverseTransform()
        if inverse is None:
            raise ValueError(f"{name}: expected an invertible transform, found a singular {transform.GetNameOfClass()}")
        return inverse
    if isinstance(transform, itk.DisplacementFieldTransform[itk.D, 3]):
        displacement_mm, affine = displacement_from_itk(transform.GetDisplacementField())
        vectors = affine[:3, :3].float()
        ddf_vox = torch.einsum("ab,bhwd->ahwd", torch.linalg.inv(vectors), displacement_mm)
        inverse_vox = invert_ddf(ddf_vox[None])[0]
        return displacement_transform(torch.einsum("ab,bhwd->ahwd", vectors, inverse_vox), affine, itk.D)
    raise ValueError(
        f"{name}: only linear transforms, displacement fields and composites of them can be inverted, found a "
        f"{transform.GetNameOfClass()}"
    )


def extend(transform: itk.Transform, points_mm: Tensor, *, name: str = "transform") -> itk.Transform:
    """The transform with its displacement fields continued by their border values as far as the given points.

    Args:
        points_mm: (N, 3), RAS mm, in the transform's input world: landmarks, or the corners of a grid.
        name: of the transform, for errors.
    Raises: ValueError if the points lie so far outside a field that their displacement is unknown.
    """
    if isinstance(transform, itk.CompositeTransform[itk.D, 3]):
        parts, reached_mm = [], points_mm.double()
        for part in _in_order(transform):
            parts.append(extend(part, reached_mm, name=name))
            reached_mm = transform_points(parts[-1], reached_mm)
        extended = itk.CompositeTransform[itk.D, 3].New()
        for part in reversed(parts):
            extended.AddTransform(part)
        return extended
    if not isinstance(transform, itk.DisplacementFieldTransform[itk.D, 3]):
        return transform
    displacement_mm, affine = displacement_from_itk(transform.GetDisplacementField())
    before, after = padding_vox(displacement_mm.shape[1:], affine, points_mm)
    if not any(before + after):
        return transform
    sides_mm = torch.tensor(displacement_mm.shape[1:], dtype=torch.float64) * spacing_mm(affine)
    outside_mm = torch.maximum(torch.tensor(before), torch.tensor(after)) * spacing_mm(affine)
    if (outside_mm > (sides_mm / 2).clamp_min(MAX_OUTSIDE_MM)).any():
        grid = " x ".join(f"{side:.0f}" for side in sides_mm.tolist())
        raise ValueError(
            f"{name}: expected points in or near its displacement field of {grid} mm, found some "
            f"{float(outside_mm.max()):.0f} mm outside; check that the files belong together, and --inverse"
        )
    return displacement_transform(pad_field(displacement_mm, before, after), pad_affine(affine, before), itk.D)


def outside_fields(transform: itk.Transform, points_mm: Tensor) -> Tensor:
    """Which points (N, 3), RAS mm, a transform takes to a place outside one of its displacement fields."""
    if isinstance(transform, itk.CompositeTransform[itk.D, 3]):
        outside = torch.zeros(len(points_mm), dtype=torch.bool)
        for part in _in_order(transform):
            outside |= outside_fields(part, points_mm)
            points_mm = transform_points(part, points_mm)
        return outside
    if not isinstance(transform, itk.DisplacementFieldTransform[itk.D, 3]):
        return torch.zeros(len(points_mm), dtype=torch.bool)
    displacement_mm, affine = displacement_from_itk(transform.GetDisplacementField())
    return ~ImageHeader.of(MetaTensor(displacement_mm, affine=affine)).contains(points_mm)


def padding_vox(shape: torch.Size, affine: Tensor, points_mm: Tensor) -> tuple[list[int], list[int]]:
    """Whole voxels before and after each axis of a grid that cover points (N, 3), RAS mm."""
    vox = apply_affine(torch.linalg.inv(affine.double()), points_mm.double())
    last = torch.tensor(shape, dtype=torch.float64) - 1
    before = (-vox.amin(dim=0)).sub(1e-6).ceil().clamp_min(0).long().tolist()  # less the rounding of the affine
    return before, (vox.amax(dim=0) - last - 1e-6).ceil().clamp_min(0).long().tolist()


def pad_field(field: Tensor, before: list[int], after: list[int]) -> Tensor:
    """A field (C, H, W, D) continued by its border values; see `pad_affine`."""
    padding = [value for axis in (2, 1, 0) for value in (before[axis], after[axis])]
    return F.pad(field[None], padding, mode="replicate")[0]


def pad_affine(affine: Tensor, before: list[int]) -> Tensor:
    """The affine (4, 4) of a grid with some voxels more before each axis."""
    extended = affine.clone()
    extended[:3, 3] = apply_affine(affine, -torch.tensor(before, dtype=affine.dtype)[None])[0]
    return extended


def transform_points(transform: itk.Transform, points_mm: Tensor) -> Tensor:
    """Map points (N, 3), RAS mm, with an ITK transform, in float64."""
    mapped = [list(transform.TransformPoint(point)) for point in swap_ras_lps(points_mm).tolist()]
    return swap_ras_lps(torch.tensor(mapped, dtype=torch.float64).view(-1, 3))


def field_of(
    transform: itk.Transform, *, name: str = "transform", expected: str = "the transform of a registration"
) -> WorldTransform:
    """The field on its own grid, and the affine after it, of an ITK transform: `bundle.io.itk_transform` reversed.

    Args:
        transform: fixed to moving points, LPS mm, as `bundle.io.read_transform` reads it.
        name, expected: of the transform, and what it should be, for errors.
    Raises: ValueError unless it is one displacement field and one affine after it.
    """
    is_composite = isinstance(transform, itk.CompositeTransform[itk.D, 3])
    parts = list(_in_order(transform)) if is_composite else [transform]
    if [part.GetNameOfClass() for part in parts] != ["DisplacementFieldTransform", "AffineTransform"]:
        found = ", ".join(part.GetNameOfClass() for part in parts)
        raise ValueError(f"{name}: expected {expected}, a field and then an affine, got {found}")
    field, affine = parts
    image = field.GetDisplacementField()
    direction = itk.array_from_matrix(image.GetDirection())
    grid = affine_from_itk(list(image.GetSpacing()), direction, list(image.GetOrigin()))
    after = torch.eye(4, dtype=torch.float64)
    after[:3, :3] = torch.from_numpy(itk.array_from_matrix(affine.GetMatrix()))
    after[:3, 3] = torch.tensor(list(affine.GetOffset()), dtype=torch.float64)
    return world_transform_of(torch.from_numpy(itk.array_view_from_image(image)).float(), grid, after)


def world_transform_of(vectors: Tensor, grid: Tensor, after: Tensor) -> WorldTransform:
    """A displacement field and the affine after it, of ITK, as one transform.

    Args:
        vectors: (D, W, H, 3), LPS mm, in ITK's order.
        grid: (4, 4), voxels (i, j, k) of the field to RAS mm.
        after: (4, 4), LPS mm.
    """
    to_vox = torch.linalg.inv(swap_ras_lps(grid[:3, :3].T).T).to(vectors)
    ddf_vox = torch.einsum("ab,kjib->aijk", to_vox, vectors).contiguous()
    return WorldTransform(ddf_vox[None], grid, swap_ras_lps_affine(after) @ grid)


def _in_order(transform: itk.CompositeTransform) -> Iterator[itk.Transform]:
    """The parts of a composite in the order in which they are applied: ITK applies the last one first."""
    for number in reversed(range(transform.GetNumberOfTransforms())):
        yield itk.down_cast(transform.GetNthTransform(number))
