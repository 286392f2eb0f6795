"""The field of a simulated breath: one smooth flow for the lungs and the organs below them, one for the chest wall.

The lungs and the organs below them form tubes that are open downwards. Tissue inside a tube follows the diaphragm; the
chest wall outside moves little. At the side of a tube the normal velocities of both flows are equal, so tissue slides
without gaps. Each flow is the exponential of a stationary velocity field, hence without folds (`flow.py`).

Points are in mm in the patient frame: (R, A, S) along the scan's own axes, origin at its first voxel.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from monai.data import MetaTensor
from scipy import ndimage
from torch import Tensor

from bundle.geometry import jacobian_determinant, spacing_mm
from bundle.synthetic.breath.flow import Flow, Lattice, integrate
from bundle.synthetic.breath.motion import MotionParameters
from bundle.transforms.network_grid import put_on_grid

NODE_MM = 4.0  # node spacing for the integration of a flow; cubic interpolation halves it afterwards
MARGIN_MM = 44.0  # of the lattice around the lungs
LEAST_JACOBIAN = 0.2  # lower limit of the Jacobian determinant in the lungs
WALL_REACH_MM = 26.0  # depth of lung whose velocity is made tangential to the wall
SOFT_WALL_MM = 30.0  # depth of the deforming chest wall
ABDOMEN_MM = 130.0  # decay length of the lift below the diaphragm
HEART_MM = (38.0, 40.0)  # half widths, along R and A, of the region that moves with the heart
HEART_FRONT = 0.3  # heart position in front of the lungs' centre, as a fraction of their half depth
MIDLINE_MM = 20.0  # half width of the transition between the lifts of the right and left lung
FLOOR_BLUR_NODES = 5.0  # smoothing of the diaphragm surface


@dataclass(frozen=True)
class Breathing:
    """One breath.

    Args:
        tubes, wall: the two flows.
        lattice: nodes of `compression`.
        compression: Jacobian determinant (1, H, W, D) of the inverse of `tubes`: ratio of exhale to inhale density.
        least_jacobian: smallest Jacobian determinant of the forward map of `tubes` within the lungs.
    """

    tubes: Flow
    wall: Flow
    lattice: Lattice
    compression: Tensor
    least_jacobian: float

    def compression_at(self, points_mm: Tensor) -> Tensor:
        """Compression (h, w, d) at exhale points (3, h, w, d)."""
        return self.lattice.read(self.compression, points_mm)[0]


def patient_affine(scan: MetaTensor) -> Tensor:
    """(4, 4) float64, patient mm to world RAS mm, of a scan with axes along R, A, S."""
    to_vox = torch.diag(torch.cat([1 / spacing_mm(scan.affine.double()), torch.ones(1, dtype=torch.float64)]))
    return scan.affine.double() @ to_vox


def tubes_of(mask: Tensor) -> Tensor:
    """The mask (..., D), extended downwards; axis D points up, values lie in [0, 1]."""
    return mask.flip(-1).cummax(dim=-1).values.flip(-1)


def breathe(mask: MetaTensor, parameters: MotionParameters) -> Breathing:
    """Build the breath of a patient.

    Args:
        mask: (1, H, W, D) lungs at inhale, axes along R, A, S, non-empty (see `patient.to_ras`).
        parameters: the motion.
    """
    patient = patient_affine(mask)
    lattice = _lattice_around(mask)
    lungs = put_on_grid(mask.float(), lattice.shape, patient @ lattice.affine())[0].as_tensor()
    inside_mm = _depth_mm(tubes_of(lungs), lattice.step_mm)
    inner, outer = _velocities(lungs, inside_mm, lattice, parameters)
    tubes, wall = integrate(inner, lattice), integrate(outer, lattice)
    is_lung = lungs >= 0.5
    jacobian = jacobian_determinant(tubes.forward_mm[:, ::2, ::2, ::2], lattice.affine())
    compression = jacobian_determinant(tubes.backward_mm[:, ::2, ::2, ::2], lattice.affine())
    return Breathing(tubes, wall, lattice, compression[None], float(jacobian[is_lung].min()))


def _lattice_around(mask: MetaTensor) -> Lattice:
    """Lattice with spacing `NODE_MM` around the lungs, with `MARGIN_MM` on every side."""
    voxels = mask[0].as_tensor().nonzero()
    step = spacing_mm(mask.affine.double())
    low = voxels.amin(dim=0) * step - MARGIN_MM
    size = voxels.amax(dim=0) * step + MARGIN_MM - low
    height, width, depth = (torch.ceil(size / NODE_MM).int() + 1).tolist()
    return Lattice(low, NODE_MM, (height, width, depth))


def _depth_mm(tubes: Tensor, step_mm: float) -> np.ndarray:
    """Smooth signed distance (H, W, D), mm, to the surface of the tubes (H, W, D, in [0, 1]), positive inside."""
    share = tubes.numpy()
    inside = share >= 0.5
    depth = ndimage.distance_transform_edt(inside) - ndimage.distance_transform_edt(~inside)
    depth -= 0.5 * np.sign(depth)  # the surface lies half a node before the nearest node on the other side
    border = (share > 0.02) & (share < 0.98)
    depth[border] = share[border] - 0.5  # subnode position of the surface from the partial volume
    smooth: np.ndarray = ndimage.gaussian_filter(depth.astype(np.float32), 0.8) * step_mm
    return smooth


def _velocities(
    lungs: Tensor, inside_mm: np.ndarray, lattice: Lattice, parameters: MotionParameters
) -> tuple[np.ndarray, np.ndarray]:
    """Velocity (3, H, W, D) of tubes and wall, mm per breath, with equal normal components at the side of the tubes.

    Args:
        lungs: (H, W, D), lung fraction at the nodes.
        inside_mm: (H, W, D), signed distance to the side of the tubes, positive inside.
    """
    x, y, z = (part.numpy() for part in lattice.points_mm())
    weight = lungs.numpy()
    middle = [float((part * weight).sum() / weight.sum()) for part in (x, y)]
    occupied = np.argwhere(weight >= 0.5) * lattice.step_mm + lattice.origin_mm.numpy()
    half_depth = 0.5 * float(np.ptp(occupied[:, 1]))
    side = 0.5 + 0.5 * np.tanh((x - middle[0]) / MIDLINE_MM)  # 0 in the left lung, 1 in the right lung
    lift = _lift_mm(weight, z, occupied[:, 2], parameters, side)
    lift *= 1.0 + parameters.front_back * np.clip((y - middle[1]) / half_depth, -1.2, 1.2)
    inner = np.stack([np.zeros_like(lift), np.zeros_like(lift), lift])
    centre_x = [float((x * weight * part).sum() / (weight * part).sum()) for part in (side, 1 - side)]
    inner[0] -= parameters.contraction * (x - side * centre_x[0] - (1 - side) * centre_x[1])
    inner[1] -= parameters.contraction * (y - middle[1])
    for wave in parameters.waves:
        kx, ky, kz = wave.wave_per_mm
        value = np.sin(kx * x + ky * y + kz * z + np.float32(wave.phase_rad))
        inner += np.array(wave.amplitude_mm, np.float32).reshape(3, 1, 1, 1) * value
    normal = np.stack(np.gradient(inside_mm, lattice.step_mm))
    outside = np.clip(-inside_mm, 0.0, None)
    outer = parameters.wall_mm * normal * np.exp(-((outside / SOFT_WALL_MM) ** 2))
    across, front = (x - middle[0]) / HEART_MM[0], (y - middle[1] - HEART_FRONT * half_depth) / HEART_MM[1]
    outer[2] += parameters.heart_share * lift * np.exp(-(across**2) - front**2)
    # near the wall, the normal velocity of the tubes becomes that of the wall
    reach = np.exp(-((np.clip(inside_mm, 0.0, None) / WALL_REACH_MM) ** 2))
    inner -= normal * ((inner - outer) * normal).sum(axis=0) * reach
    return _smooth(inner), _smooth(outer)


def _lift_mm(
    weight: np.ndarray, z: np.ndarray, occupied_z: np.ndarray, parameters: MotionParameters, side: np.ndarray
) -> np.ndarray:
    """Upward velocity (H, W, D), mm per breath: zero at the apex, largest at the diaphragm, decaying in the abdomen.

    Args:
        weight: lung fraction at the nodes; `z` their height, `side` weight of the right lung's lift, all (H, W, D).
        occupied_z: (N,), heights of the nodes within the lungs.
    """
    top, bottom = float(occupied_z.max()), float(occupied_z.min())
    is_lung = weight >= 0.5
    lowest = np.where(is_lung, z, np.inf).min(axis=2)
    basal = lowest < 0.5 * (top + bottom)  # columns that end at the diaphragm, not at the hilum
    smooth = [
        ndimage.gaussian_filter(part, FLOOR_BLUR_NODES)
        for part in (np.where(basal, lowest, 0.0), basal.astype(np.float32))
    ]
    floor = np.where(smooth[1] > 1e-4, smooth[0] / np.maximum(smooth[1], 1e-4), bottom)[:, :, None]
    share = np.clip((top - z) / (top - floor), 0.0, None)
    deep = np.clip(floor - z, 0.0, None) / ABDOMEN_MM
    capped = np.minimum(share, 1.0)
    profile = capped * (1 - parameters.curve + parameters.curve * capped) * np.exp(-(deep**2))
    # a velocity v that decreases linearly to zero at the apex lifts the base by `peak` if v = -h log(1 - peak / h)
    right, left = (-np.log1p(-peak / (top - bottom)) * (top - bottom) for peak in parameters.diaphragm_mm)
    return np.asarray((side * right + (1 - side) * left) * profile, np.float32)


def _smooth(velocity: np.ndarray) -> np.ndarray:
    return np.stack([ndimage.gaussian_filter(part.astype(np.float32), 1.0) for part in velocity])
