"""Coordinate conventions, stated once; all other files refer to them.

Images are (B, C, H, W, D); H, W, D are the voxel axes i, j, k of `affine`, a (4, 4) matrix that maps voxel centres to
world coordinates: MONAI's RAS mm. LPS mm exists only in files (`bundle.io`). Index 0 is a voxel centre, hence
align_corners=True everywhere.

**fixed** is the scan that defines the grid of the result (inhale); **moving** is the scan that is warped (exhale).

`ddf_vox` (B, 3, H, W, D), float32, is defined on one grid: channel n is the displacement along axis n, in voxels of
that grid. Pull-back: warped(p) = moving(p + ddf(p)), as in `monai.networks.blocks.Warp`. Points use the same direction:
the fixed point p corresponds to p + ddf(p) in moving. TRE = |T(p_fixed) - p_moving|.

The network grid has two affines: `grid_to_fixed` maps its voxels into the fixed world, `grid_to_moving` into the moving
world (initial alignment times `grid_to_fixed`). One `WorldTransform` composes both with the field.

Losses warp images with MONAI's `Warp`, which TorchScript does not support. All other code uses `sample_vox`, the only
function that calls grid_sample. A test checks that both agree.

Pyramid levels: voxel o of a level with `factor` times larger voxels has its centre at voxel factor * o of the finer
level, as in a stride-2 convolution with kernel 3 and padding 1 (`upsample_ddf`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

SLAB_VOXELS = 250_000  # native grids are processed in slabs of this many voxels, which fit in the cache
SAMPLING_PARTS = 16  # a list of points is split into this many parts, shared among threads
INVERSE_ITERATIONS = 60  # maximum; a voxel is converged once its update is below INVERSE_TOLERANCE_VOX
INVERSE_TOLERANCE_VOX = 1e-3
INVERSE_FULL_STEPS = 3  # undamped iterations, sufficient for most voxels; later ones are damped
INVERSE_DAMPING = 0.75  # converges for field gradients below 1.6
INVERSE_COARSEST_SIDE_VOX = 32


def identity_vox(shape: list[int], like: Tensor) -> Tensor:
    """Voxel coordinates (1, 3, H, W, D) of every voxel of a grid, float32 on the device of `like`; scriptable."""
    axes = [torch.arange(size, device=like.device, dtype=torch.float32) for size in shape]
    return torch.stack(torch.meshgrid(axes, indexing="ij"), dim=0).unsqueeze(0)


def sample_vox(volume: Tensor, points_vox: Tensor, padding_mode: str = "border") -> Tensor:
    """Interpolate `volume` (B, C, H, W, D) trilinearly at voxel coordinates (B, 3, h, w, d), giving (B, C, h, w, d).

    Coordinates must be float32 or better: half precision has errors of whole voxels. Supports TorchScript and ONNX.
    """
    size = volume.shape
    scale = torch.tensor([2.0 / max(size[4] - 1, 1), 2.0 / max(size[3] - 1, 1), 2.0 / max(size[2] - 1, 1)])
    grid = points_vox.flip(1).permute(0, 2, 3, 4, 1) * scale.to(points_vox) - 1.0
    return F.grid_sample(volume, grid.to(volume.dtype), mode="bilinear", padding_mode=padding_mode, align_corners=True)


def warp(volume: Tensor, ddf_vox: Tensor) -> Tensor:
    """Scriptable twin of `monai.networks.blocks.Warp` (trilinear, border): volume(p + ddf(p)), (B, C, H, W, D)."""
    shape = ddf_vox.shape
    return sample_vox(volume, identity_vox([shape[2], shape[3], shape[4]], ddf_vox) + ddf_vox)


def upsample_ddf(ddf_vox: Tensor, factor: int = 2) -> Tensor:
    """Upsample a DDF (B, 3, h, w, d) to a `factor` times finer grid (B, 3, h*factor, ...), vectors in the finer voxels.

    Fine voxel f takes the value at coarse position f / factor, or the border value beyond the last coarse centre.
    Constant fields are preserved exactly everywhere, linear ones wherever f / factor lies between coarse centres.
    """
    shape = ddf_vox.shape
    size = [(shape[2] - 1) * factor + 1, (shape[3] - 1) * factor + 1, (shape[4] - 1) * factor + 1]
    fine = F.interpolate(ddf_vox * factor, size=size, mode="trilinear", align_corners=True)
    return F.pad(fine, [0, factor - 1] * 3, mode="replicate")


def resize_ddf(ddf_vox: Tensor, shape: list[int]) -> Tensor:
    """Resample a DDF (B, 3, H, W, D) to a grid of `shape` that spans the same box, vectors in the new grid's voxels.

    For block-averaged images: the outer faces of both grids coincide, not their outermost centres. Constant fields are
    preserved exactly everywhere, linear ones between the outermost centres of the old grid.
    """
    if list(ddf_vox.shape[2:]) == shape:
        return ddf_vox
    scale = ddf_vox.new_tensor([new / old for new, old in zip(shape, ddf_vox.shape[2:], strict=True)])
    return F.interpolate(ddf_vox, size=shape, mode="trilinear", align_corners=False) * scale.view(1, 3, 1, 1, 1)


def apply_affine(affine: Tensor, points: Tensor) -> Tensor:
    """Map points (N, 3) with a (4, 4) affine, in the dtype of the points."""
    affine = affine.to(points)
    return points @ affine[:3, :3].T + affine[:3, 3]


def swap_ras_lps(values: Tensor) -> Tensor:
    """Convert points or vectors (..., 3) between RAS and LPS mm by negating their first two components."""
    return values * values.new_tensor([-1.0, -1.0, 1.0])


def swap_ras_lps_affine(affine: Tensor) -> Tensor:
    """Convert a world-to-world affine (4, 4) between RAS and LPS mm."""
    flip = torch.diag(affine.new_tensor([-1.0, -1.0, 1.0, 1.0]))
    return flip @ affine @ flip


def spacing_mm(affine: Tensor) -> Tensor:
    """Voxel size (3,) of a grid, mm: the lengths of the affine's columns."""
    return torch.linalg.vector_norm(affine[:3, :3], dim=0)


def jacobian_determinant(displacement_mm: Tensor, affine: Tensor) -> Tensor:
    """det(I + du/dx) (H, W, D) of a displacement u (3, H, W, D), RAS mm, sampled on the grid of `affine`.

    Central differences inside, one-sided at the border; uses the full affine, so oblique grids are correct.
    """
    columns = affine[:3, :3].double().tolist()  # dx/dp; det(I + du/dp dp/dx) = det(dx/dp + du/dp) / det(dx/dp)
    scale = 1.0 / float(torch.linalg.det(affine[:3, :3].double()))
    determinant = torch.empty_like(displacement_mm[0])
    size = determinant.shape[0]
    for start, stop in slabs(determinant.shape):
        low, high = max(min(start - 1, size - 2), 0), min(max(stop + 1, 2), size)  # with the neighbouring rows
        inner = displacement_mm[:, start:stop]
        (along_rows,) = torch.gradient(displacement_mm[:, low:high], dim=1)
        gradients = (along_rows[:, start - low : stop - low], *torch.gradient(inner, dim=(2, 3)))  # by voxel axis
        (a, b, c), (d, e, f), (g, h, i) = [
            [gradients[axis][component] + columns[component][axis] for axis in range(3)] for component in range(3)
        ]
        product = a.mul_(e * i - f * h).sub_(b.mul_(d * i - f * g)).add_(c.mul_(d * h - e * g))
        torch.mul(product, scale, out=determinant[start:stop])
    return determinant


def invert_ddf(ddf_vox: Tensor) -> Tensor:
    """Inverse DDF (1, 3, H, W, D): w(p) = -ddf(p + w(p)), iterated from the inverse at half the resolution.

    Damping handles field gradients above 1 (strong compression). Source: Chen et al. 2008, Med. Phys. 35(1)."""
    sides = list(ddf_vox.shape[2:])
    halves = [(side + 1) // 2 for side in sides]
    is_coarsest = min(sides) < INVERSE_COARSEST_SIDE_VOX
    inverse = -ddf_vox[0] if is_coarsest else resize_ddf(invert_ddf(resize_ddf(ddf_vox, halves)), sides)[0]
    for rows, points in slabs_of_points(sides, ddf_vox):
        inverse[:, rows] = _invert_at(ddf_vox[0], points, inverse[:, rows])
    return inverse[None]


def _invert_at(ddf_vox: Tensor, points: Tensor, guess: Tensor) -> Tensor:
    """Inverse of a DDF (3, H, W, D) at voxel coordinates (3, h, w, d), starting from `guess`; see `invert_ddf`."""
    positions, inverse = points.flatten(1), guess.flatten(1)
    active = torch.arange(positions.shape[1], device=points.device)
    for iteration in range(INVERSE_ITERATIONS):
        current = inverse.index_select(1, active)
        step = -sample_points(ddf_vox, positions.index_select(1, active) + current) - current
        damping = 1.0 if iteration < INVERSE_FULL_STEPS else INVERSE_DAMPING
        inverse.index_copy_(1, active, current + damping * step)
        active = active[step.abs().amax(dim=0) >= INVERSE_TOLERANCE_VOX]
        if len(active) == 0:
            break
    return inverse.view_as(points)


@dataclass(frozen=True)
class WorldTransform:
    """T(x) = grid_to_moving (q + ddf(q)), q = grid_to_fixed^-1 x: fixed world to moving world, RAS mm.

    Args:
        ddf_vox: (1, 3, H, W, D) on the network grid, extended by its border values.
        grid_to_fixed, grid_to_moving: (4, 4) float64, network grid voxels to the fixed and the moving world.
    """

    ddf_vox: Tensor
    grid_to_fixed: Tensor
    grid_to_moving: Tensor

    @property
    def affine_only(self) -> WorldTransform:
        """Initial alignment without the ddf."""
        return WorldTransform(self.ddf_vox.new_zeros(1, 3, 1, 1, 1), self.grid_to_fixed, self.grid_to_moving)

    def inverse(self) -> WorldTransform:
        """Inverse transform: moving world to fixed world."""
        return WorldTransform(invert_ddf(self.ddf_vox), self.grid_to_moving, self.grid_to_fixed)

    def transform_points_mm(self, points_mm: Tensor) -> Tensor:
        """Map points (N, 3), RAS mm, from the fixed to the moving world, in float64."""
        points = points_mm.double().to(self.ddf_vox.device)
        q = apply_affine(torch.linalg.inv(self.grid_to_fixed.double()), points)
        shift = sample_points(self.ddf_vox[0], q.T.float()).T
        return apply_affine(self.grid_to_moving, q + shift.double()).to(points_mm.device)

    def map_grid(self, shape: tuple[int, int, int], affine: Tensor, target_affine: Tensor) -> Tensor:
        """Map a fixed-world grid to (3, H, W, D) float32 coordinates in voxels of `target_affine`'s grid.

        `target_affine` is (4, 4): the moving scan's own affine, or the identity for moving-world mm.
        """
        to_target = torch.linalg.inv(target_affine.double()) @ self.grid_to_moving.double()
        initial = to_target @ torch.linalg.inv(self.grid_to_fixed.double()) @ affine.double()
        return self._add_field(initial, to_target, shape, affine)

    def displacement_mm(self, shape: tuple[int, int, int], affine: Tensor) -> Tensor:
        """Displacement T(x) - x (3, H, W, D), RAS mm, on a grid of the fixed world."""
        initial = self.grid_to_moving.double() @ torch.linalg.inv(self.grid_to_fixed.double()) @ affine.double()
        return self._add_field(initial - affine.double(), self.grid_to_moving.double(), shape, affine)

    def _add_field(self, initial: Tensor, vectors: Tensor, shape: tuple[int, int, int], affine: Tensor) -> Tensor:
        """initial p + vectors ddf(q) (3, H, W, D) at voxels p of a fixed-world grid; q = grid_to_fixed^-1 affine p."""
        to_grid = torch.linalg.inv(self.grid_to_fixed.double()) @ affine.double()
        vectors, is_affine = vectors[:3, :3].to(self.ddf_vox), not bool(self.ddf_vox.any())
        result = self.ddf_vox.new_empty((3, *shape))
        for rows, points in slabs_of_points(shape, self.ddf_vox):
            part = affine_columns(initial, points.flatten(1)).view_as(points)
            if not is_affine:
                shift = sample_rows(self.ddf_vox[0], affine_columns(to_grid, points.flatten(1)).view_as(points))
                part += (vectors @ shift.flatten(1)).view_as(points)
            result[:, rows] = part
        return result


def sample_rows(volume: Tensor, points_vox: Tensor) -> Tensor:
    """`sample_vox` of one volume (C, H, W, D) at (3, h, w, d), row by row: PyTorch's CPU threads split batches only."""
    rows = points_vox.transpose(0, 1)[:, :, None]
    volumes = volume.expand(rows.shape[0], *volume.shape)
    return sample_vox(volumes, rows)[:, :, 0].transpose(0, 1)


def sample_points(volume: Tensor, points_vox: Tensor) -> Tensor:
    """`sample_vox` of one volume (C, H, W, D) at points (3, N), shared among threads; gives (C, N)."""
    count = points_vox.shape[1]
    filled = torch.cat([points_vox, points_vox[:, :1].expand(3, -count % SAMPLING_PARTS)], dim=1)
    return sample_rows(volume, filled.view(3, SAMPLING_PARTS, -1, 1)).reshape(volume.shape[0], -1)[:, :count]


def slabs(shape: Sequence[int]) -> Iterator[tuple[int, int]]:
    """First and end row (exclusive) of each slab of a grid (H, W, D), about `SLAB_VOXELS` voxels each."""
    rows = max(1, SLAB_VOXELS // (shape[1] * shape[2]))
    for start in range(0, shape[0], rows):
        yield start, min(start + rows, shape[0])


def slabs_of_points(shape: Sequence[int], like: Tensor) -> Iterator[tuple[slice, Tensor]]:
    """Rows of each slab of a grid (H, W, D) and their voxel coordinates (3, h, W, D); see `identity_vox`."""
    for start, stop in slabs(shape):
        points = identity_vox([stop - start, shape[1], shape[2]], like)[0]
        points[0] += start
        yield slice(start, stop), points


def affine_columns(affine: Tensor, columns: Tensor) -> Tensor:
    """Map points stored as columns (3, N) with a (4, 4) affine, in the dtype of the points."""
    affine = affine.to(columns)
    return torch.addmm(affine[:3, 3:], affine[:3, :3], columns)
