"""Motion amplitude of every voxel of the reference over the phases of a series."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import torch
from monai.data import MetaTensor
from torch import Tensor

from bundle.geometry import WorldTransform
from bundle.io import write_image
from bundle.series.fields import displacement_slabs

AXES = ("lr", "ap", "si")  # of the patient, in the order of the world's axes
NAMES = (*AXES, "3d")
STEP_MM = 1.0 / 128  # of the stored int16: up to 256 mm
DEFINITION = (
    "peak to peak over the members, mm, at a point of the reference: largest minus smallest position along the "
    "patient's left-right (lr), anterior-posterior (ap) and superior-inferior (si) axis; 3d: largest distance between "
    "the positions in two members. No smoothing."
)


def peak_to_peak(positions_mm: Tensor) -> Tensor:
    """Amplitude along the world's axes and in 3-D, (4, ...), of positions or displacements (M, 3, ...), mm."""
    along = positions_mm.amax(dim=0) - positions_mm.amin(dim=0)
    largest = torch.zeros_like(along[0])
    for first, second in combinations(positions_mm, 2):
        torch.maximum(largest, (first - second).square().sum(dim=0), out=largest)
    return torch.cat([along, largest.sqrt()[None]])


def write_amplitude(
    folder: Path, transforms: Mapping[str, WorldTransform], reference: MetaTensor, lungs: Tensor
) -> dict[str, Any]:
    """Write `amplitude_lr.nii.gz`, `_ap`, `_si` and `_3d` on the reference's grid, int16 in steps of `STEP_MM`.

    Args:
        transforms: of all members, the reference's own (the identity) included.
        reference: (1, H, W, D) with its affine.
        lungs: (H, W, D), where the figures are taken.
    Returns: definition, and mean, 95th percentile and maximum of each map in the lungs, mm.
    """
    shape = reference.shape[1:]
    maps = [torch.empty(tuple(reversed(shape)), dtype=torch.int16).permute(2, 1, 0) for _ in NAMES]
    for rows, displacements_mm in displacement_slabs(transforms, shape, reference.affine):
        for stored, values in zip(maps, peak_to_peak(displacements_mm), strict=True):
            stored[rows] = (values / STEP_MM).round_().clamp_max_(torch.iinfo(torch.int16).max).short()
    inside = lungs > 0
    figures: dict[str, Any] = {"definition": DEFINITION}
    for name, stored in zip(NAMES, maps, strict=True):
        write_image(folder / f"amplitude_{name}.nii.gz", stored, reference.affine, dtype=np.int16, step=STEP_MM)
        values = stored[inside].numpy() * STEP_MM
        figures[name] = {
            "mean_mm": round(float(values.mean()), 3),
            "p95_mm": round(float(np.percentile(values, 95)), 3),
            "max_mm": round(float(values.max()), 3),
        }
    return figures
