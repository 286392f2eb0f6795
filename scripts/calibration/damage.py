"""Deliberate damage to one or both scans of a pair, as happens when files are converted, sorted or chosen wrongly."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from monai.data import MetaTensor

Scans = tuple[MetaTensor, MetaTensor]
Damage = Callable[[MetaTensor, MetaTensor, np.random.Generator], Scans]

CM_PER_MM, MM_PER_CM = 0.1, 10.0


def _with(scan: MetaTensor, voxels: torch.Tensor, affine: torch.Tensor | None = None) -> MetaTensor:
    return MetaTensor(voxels.contiguous(), affine=scan.affine if affine is None else affine)


def _flipped(scan: MetaTensor, axis: int) -> MetaTensor:
    return _with(scan, scan.as_tensor().flip(axis + 1))


def _turned(scan: MetaTensor, axes: tuple[int, int], times: int = 1) -> MetaTensor:
    return _with(scan, torch.rot90(scan.as_tensor(), times, tuple(axis + 1 for axis in axes)))


def _scaled(scan: MetaTensor, factors: tuple[float, float, float]) -> MetaTensor:
    """Voxel sizes times factors; the centre of the scan stays."""
    affine = scan.affine.clone()
    affine[:3, :3] = affine[:3, :3] * torch.tensor(factors, dtype=affine.dtype)
    middle = (torch.tensor(scan.shape[1:], dtype=affine.dtype) - 1) / 2
    affine[:3, 3] += (scan.affine[:3, :3] - affine[:3, :3]) @ middle
    return _with(scan, scan.as_tensor(), affine)


def _without_geometry(scan: MetaTensor) -> MetaTensor:
    """As ITK reads an array in ITK's axis order that was written without its geometry: LPS axes of 1 mm."""
    return _with(scan, scan.as_tensor(), torch.diag(torch.tensor([-1.0, -1.0, 1.0, 1.0], dtype=torch.float64)))


def _part(scan: MetaTensor, axis: int, first: float, last: float) -> MetaTensor:
    """The part of a scan between two shares of its extent along an axis, at its place in the world."""
    start, stop = (round(share * scan.shape[axis + 1]) for share in (first, last))
    affine = scan.affine.clone()
    affine[:3, 3] += affine[:3, axis] * start
    return _with(scan, scan.as_tensor().narrow(axis + 1, start, stop - start), affine)


def _reordered(scan: MetaTensor, order: np.ndarray) -> MetaTensor:
    return _with(scan, scan.as_tensor()[..., torch.from_numpy(order)])


def _interleaved(count: int) -> np.ndarray:
    return np.concatenate([np.arange(0, count, 2), np.arange(1, count, 2)])


def _blocks(count: int) -> np.ndarray:
    return np.roll(np.arange(count), count // 2)


def _rescaled(scan: MetaTensor, low: float, high: float) -> MetaTensor:
    """HU from -1000 to 400 as values from `low` to `high`."""
    share = (scan.as_tensor().clamp(-1000, 400) + 1000) / 1400
    return _with(scan, low + share * (high - low))


DAMAGES: dict[str, Damage] = {
    "moving flipped left-right": lambda f, m, _: (f, _flipped(m, 0)),
    "moving flipped front-back": lambda f, m, _: (f, _flipped(m, 1)),
    "moving flipped head-foot": lambda f, m, _: (f, _flipped(m, 2)),
    "both flipped head-foot": lambda f, m, _: (_flipped(f, 2), _flipped(m, 2)),
    "both flipped front-back": lambda f, m, _: (_flipped(f, 1), _flipped(m, 1)),
    "moving turned by 90 degrees": lambda f, m, _: (f, _turned(m, (0, 1))),
    "moving turned by 180 degrees": lambda f, m, _: (f, _turned(m, (0, 1), 2)),
    "moving on its side": lambda f, m, _: (f, _turned(m, (1, 2))),
    "moving in cm": lambda f, m, _: (f, _scaled(m, (CM_PER_MM,) * 3)),
    "both in cm": lambda f, m, _: (_scaled(f, (CM_PER_MM,) * 3), _scaled(m, (CM_PER_MM,) * 3)),
    "fixed enlarged ten times": lambda f, m, _: (_scaled(f, (MM_PER_CM,) * 3), m),
    "moving slices twice as far": lambda f, m, _: (f, _scaled(m, (1.0, 1.0, 2.0))),
    "moving slices half as far": lambda f, m, _: (f, _scaled(m, (1.0, 1.0, 0.5))),
    "both without geometry": lambda f, m, _: (_without_geometry(f), _without_geometry(m)),
    "moving without geometry": lambda f, m, _: (f, _without_geometry(m)),
    "both without geometry, upside down": lambda f, m, _: (
        _without_geometry(_flipped(f, 2)),
        _without_geometry(_flipped(m, 2)),
    ),
    "moving from 0 to 1": lambda f, m, _: (f, _rescaled(m, 0.0, 1.0)),
    "fixed from 0 to 255": lambda f, m, _: (_rescaled(f, 0.0, 255.0), m),
    "moving inverted": lambda f, m, _: (f, _rescaled(m, 400.0, -1000.0)),
    "moving upper half": lambda f, m, _: (f, _part(m, 2, 0.5, 1.0)),
    "moving lower half": lambda f, m, _: (f, _part(m, 2, 0.0, 0.5)),
    "moving left half": lambda f, m, _: (f, _part(m, 0, 0.0, 0.5)),
    "fixed and moving different halves": lambda f, m, _: (_part(f, 2, 0.0, 0.5), _part(m, 2, 0.5, 1.0)),
    "moving slices shuffled": lambda f, m, rng: (f, _reordered(m, rng.permutation(m.shape[-1]))),
    "moving slices interleaved": lambda f, m, _: (f, _reordered(m, _interleaved(m.shape[-1]))),
    "moving slices in swapped blocks": lambda f, m, _: (f, _reordered(m, _blocks(m.shape[-1]))),
}
