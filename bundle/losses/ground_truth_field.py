from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn
from torch.nn.modules.loss import _Loss

CHANNELS = 8


class GroundTruthFieldLoss(_Loss):
    """Distance to the ground-truth field for pairs that have one, the unsupervised registration loss for the others.

    The distance d, mm, counts as (d^2 + eps_mm^2)^(power / 2): with a power below 1, small errors matter. The fields of
    the network's coarser stages count by `level_weight`.

    Differs from the paper (sec. 3.3), which trains on the pairs it reports: for unseen pairs, synthetic ones provide
    supervision where the LNCC of misaligned vessels is uninformative.

    Args:
        registration: called as registration(ddf, label[:, :3]), of the finest field.
        power, eps_mm: of the distance.
        level_weight: weight of each coarser field; the finest has weight 1.
    """

    def __init__(self, *, registration: nn.Module, power: float, eps_mm: float, level_weight: float) -> None:
        super().__init__()
        self.registration = registration
        self.power = power
        self.eps_mm = eps_mm
        self.level_weight = level_weight

    def forward(self, ddfs_vox: Tensor | Sequence[Tensor], label: Tensor) -> Tensor:
        """Loss of a ddf (B, 3, H, W, D), or of those of several stages, coarse to fine, each in voxels of its own grid.

        Args:
            label: (B, 8, H, W, D): fixed, moving, mask, ground-truth ddf (3), its weight (0 for a pair without
                it), voxel size in mm; see `RandCropPaird`.
        Raises: ValueError if `label` has another number of channels.
        """
        if label.shape[1] != CHANNELS:
            raise ValueError(
                f"label: expected fixed, moving, mask, ddf, weight, voxel size ({CHANNELS} channels), "
                f"got {label.shape[1]}"
            )
        stages = [ddfs_vox] if isinstance(ddfs_vox, Tensor) else list(ddfs_vox)
        is_known = (label[:, 6] > 0).flatten(1).any(dim=1)
        share = is_known.to(label.dtype).mean()
        loss = label.new_zeros(())
        if bool(is_known.any()):
            weights = [self.level_weight] * (len(stages) - 1) + [1.0]
            for weight, ddf_vox in zip(weights, stages, strict=True):
                loss = loss + share * weight * self._distance(ddf_vox[is_known], label[is_known])
        if not bool(is_known.all()):
            loss = loss + (1 - share) * self.registration(stages[-1][~is_known], label[~is_known, :3])
        return loss

    def _distance(self, ddf_vox: Tensor, label: Tensor) -> Tensor:
        """Weighted mean over the voxels of the ddf's grid, which are every n-th of the label's."""
        factor = label.shape[-1] // ddf_vox.shape[-1]
        target = label[..., ::factor, ::factor, ::factor]
        error_mm = (ddf_vox * factor - target[:, 3:6]) * target[:, 7:]
        distance = (error_mm.square().sum(dim=1) + self.eps_mm**2).pow(self.power / 2)
        return (distance * target[:, 6]).sum() / target[:, 6].sum().clamp_min(1.0)
