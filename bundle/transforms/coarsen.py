"""Average a scan down to a coarser grid."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from monai.data import MetaTensor
from monai.transforms import Orientation

from bundle.geometry import spacing_mm


def coarsen(scan: MetaTensor, target_mm: float | tuple[float, float, float]) -> MetaTensor:
    """Scan in RAS axis order with whole voxels averaged into blocks no larger than `target_mm`, float32.

    Averaging instead of picking keeps noise and small vessels from aliasing. The axis order is made canonical first, so
    that the same anatomy stored with permuted or flipped axes gives the same blocks.

    Args:
        scan: (C, H, W, D) with its affine.
        target_mm: wanted voxel size, one for all axes or one each along R, A and S.
    Returns: (C, h, w, d) whose affine points at the block centres; voxels that fill no whole block are left out.
    """
    canonical = Orientation(axcodes="RAS", labels=None)(scan)
    voxel_mm = spacing_mm(canonical.affine)
    targets = torch.as_tensor(target_mm).expand(3)
    blocks = [
        max(1, min(int(target / size + 1e-3), count))
        for target, size, count in zip(targets, voxel_mm, canonical.shape[1:], strict=True)
    ]
    centre = torch.eye(4, dtype=torch.float64)
    centre[:3, :3] = torch.diag(torch.tensor(blocks, dtype=torch.float64))
    centre[:3, 3] = (torch.tensor(blocks, dtype=torch.float64) - 1) / 2
    averaged = F.avg_pool3d(canonical.as_tensor().float()[None], blocks)[0]
    return MetaTensor(averaged, affine=canonical.affine.double() @ centre)
