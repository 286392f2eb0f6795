"""The volumes that `report.html` shows: small, in 8 bits, on one grid around the fixed lungs."""

from __future__ import annotations

import base64
from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from io import BytesIO
from typing import Any

import nibabel as nib
import numpy as np
import torch
from isal import igzip
from torch import Tensor

from bundle.geometry import apply_affine, sample_points
from bundle.io import ImageHeader
from bundle.reports.planes import WINDOW_HU
from bundle.resample import sample_on_grid
from bundle.transforms import put_on_grid

MAX_VOXELS = 1_800_000  # of each volume: 2 mm for the lungs of an adult, and a page of some 6 MB
DEFLATE_LEVEL = 2  # of isal's 3
HIDDEN = 0  # stored value of voxels outside the lungs, in maps
COLOUR_PERCENTILE = 99.5  # robust to outlier voxels
JACOBIAN_RANGE = (0.0, 2.0)
LEAST_MM = {"displacement": 1.0, "inverse_consistency": 1.0}  # smallest top of a scale: less would colour noise
Pair = Mapping[Hashable, Any]


@dataclass(frozen=True)
class ReportVolume:
    """A volume in 8 bits: the stored values `first` to 255 are `low` to `high`, linearly; values beyond are clipped.

    Args:
        voxels: (H, W, D) uint8; `HIDDEN` is outside the lungs if `first` is 1.
        low, high: in `unit`.
    """

    voxels: np.ndarray
    low: float
    high: float
    unit: str
    first: int

    def as_base64(self, affine: Tensor) -> str:
        """A gzipped NIfTI file of the stored values, in base64."""
        nifti = nib.Nifti1Image(self.voxels, affine.double().numpy())
        nifti.header.set_xyzt_units("mm")
        step = (self.high - self.low) / (255 - self.first)
        nifti.header.set_slope_inter(step, self.low - self.first * step)
        file = BytesIO()
        nifti.to_stream(file)
        return base64.b64encode(igzip.compress(file.getbuffer(), DEFLATE_LEVEL, mtime=0)).decode("ascii")


@dataclass(frozen=True)
class ReportVolumes:
    """The volumes of a pair by name: `fixed`, `before`, `warped` in HU, and maps of the lungs.

    Args:
        affine: (4, 4), voxels to RAS mm of the fixed world.
        centre: (3,) voxel near the middle of the lungs, where the page opens.
    """

    volumes: dict[str, ReportVolume]
    affine: Tensor
    centre: tuple[int, int, int]


def report_volumes(pair: Pair) -> ReportVolumes:
    """The volumes of a registered pair (`bundle.data.Pair`) after `ResultsOnNativeGridsd`.

    On the network grid, which spans the fixed lungs and a margin, in voxels so large that there are at most
    `MAX_VOXELS`; scans are averaged, fields interpolated.

    `fixed`, `before`, `warped`: HU, `WINDOW_HU`; `before` is the moving scan after the initial alignment.
    `displacement`: length, mm, of what the field adds to the initial alignment. `jacobian`: determinant of the whole
    transform. `inverse_consistency`: |T^-1(T(x)) - x|, mm.
    """
    to_fixed, to_moving = (pair[key].double().cpu() for key in ("grid_to_fixed", "grid_to_moving"))
    ddf_vox, inverse_vox = (torch.as_tensor(pair[key]).float().cpu() for key in ("pred", "inverse_ddf"))
    shape, to_network = _smaller_grid(ddf_vox.shape[1:])
    affine = to_fixed @ to_network
    fixed, before, warped = (
        _grey(put_on_grid(pair[key], shape, grid @ to_network)[0].as_tensor())
        for key, grid in (("fixed", to_fixed), ("moving", to_moving), ("warped", to_fixed))
    )
    inside = _on_grid(torch.as_tensor(pair["mask_net"]).float().cpu(), to_network, shape)[0] > 0.5
    voxels = inside.nonzero()
    in_scan = ImageHeader.of(pair["fixed"]).contains(apply_affine(affine, voxels.double()))  # the grid may reach beyond
    inside[inside.clone()], voxels = in_scan, voxels[in_scan]
    places = apply_affine(to_network, voxels.double()).T.float()
    scaling = float(torch.linalg.det(pair["initial_affine"].double()))
    jacobian = _sampled(torch.as_tensor(pair["jacobian_net"]).float().cpu(), places)[0] * scaling
    shift_vox = _sampled(ddf_vox, places)
    error_vox = shift_vox + _sampled(inverse_vox, places + shift_vox)
    return ReportVolumes(
        {
            "fixed": fixed,
            "before": before,
            "warped": warped,
            "displacement": _length_map(to_moving, shift_vox, inside, "displacement"),
            "jacobian": _map(jacobian, inside, *JACOBIAN_RANGE, ""),
            "inverse_consistency": _length_map(to_fixed, error_vox, inside, "inverse_consistency"),
        },
        affine,
        _centre(voxels, shape),
    )


def _smaller_grid(network: torch.Size) -> tuple[tuple[int, int, int], Tensor]:
    """Shape of a grid that spans the network grid with at most `MAX_VOXELS`, and its voxels to the network's (4, 4)."""
    factor = max(1.0, (network.numel() / MAX_VOXELS) ** (1 / 3))
    height, width, depth = (max(2, int(side / factor)) for side in network)
    to_network = torch.eye(4, dtype=torch.float64)
    to_network[:3, :3] = torch.diag(torch.tensor(network, dtype=torch.float64) / torch.tensor([height, width, depth]))
    to_network[:3, 3] = (to_network.diagonal()[:3] - 1) / 2  # the outer faces of both grids coincide
    return (height, width, depth), to_network


def _on_grid(volume: Tensor, to_network: Tensor, shape: tuple[int, int, int]) -> Tensor:
    """A volume (C, h, w, d) of the network grid on another, (C, H, W, D)."""
    return torch.cat([part for _, part in sample_on_grid(volume, to_network, shape)], dim=1)


def _sampled(volume: Tensor, places: Tensor) -> Tensor:
    """A volume (C, h, w, d) at N places (3, N) in its voxels, (C, N); N may be 0."""
    return sample_points(volume, places) if places.numel() else volume.new_empty(volume.shape[0], 0)


def _grey(voxels_hu: Tensor) -> ReportVolume:
    return ReportVolume(_stored(voxels_hu, *WINDOW_HU, 0).numpy(), *WINDOW_HU, "HU", 0)


def _length_map(affine: Tensor, vectors_vox: Tensor, inside: Tensor, name: str) -> ReportVolume:
    """Lengths, mm, of vectors (3, N) in voxels of a grid, from 0 to a round number near the largest."""
    lengths_mm = (affine[:3, :3].float() @ vectors_vox).square_().sum(dim=0).sqrt_()
    top = float(np.percentile(lengths_mm.numpy(), COLOUR_PERCENTILE)) if len(lengths_mm) else 0.0
    return _map(lengths_mm, inside, 0.0, _round_up(max(top, LEAST_MM[name])), "mm")


def _map(values: Tensor, inside: Tensor, low: float, high: float, unit: str) -> ReportVolume:
    """A map of values (N,) of the N voxels inside."""
    volume = torch.full(inside.shape, HIDDEN, dtype=torch.uint8)
    volume.masked_scatter_(inside, _stored(values, low, high, HIDDEN + 1))
    return ReportVolume(volume.numpy(), low, high, unit, HIDDEN + 1)


def _round_up(value: float) -> float:
    """The next number of one digit, or 1.5, times a power of ten."""
    power = 10.0 ** np.floor(np.log10(value))
    return float(next(step * power for step in (1, 1.5, 2, 3, 4, 5, 6, 8, 10) if value <= step * power * (1 + 1e-6)))


def _stored(values: Tensor, low: float, high: float, first: int) -> Tensor:
    """Values as uint8: `first` to 255 for `low` to `high`."""
    scaled = values.sub(low).mul_((255 - first) / (high - low)).round_().clamp_(0, 255 - first)
    return scaled.add_(first).to(torch.uint8)


def _centre(voxels: Tensor, shape: tuple[int, int, int]) -> tuple[int, int, int]:
    """The slices with most of the lungs, of which these are the voxels (N, 3); the middle ones without lungs."""
    if not len(voxels):
        return shape[0] // 2, shape[1] // 2, shape[2] // 2
    x, y, z = (int(places.bincount().argmax()) for places in voxels.unbind(dim=1))
    return x, y, z
