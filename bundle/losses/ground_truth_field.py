from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.modules.loss import _Loss


class GroundTruthFieldLoss(_Loss):
    """Loss without supervision plus the distance from the exact field, on pairs that were made and have one.

    Differs from the paper (sec. 3.3), which trains on the pairs it reports: weights for unseen pairs may learn from
    simulated breaths what the correlation of misaligned vessels cannot tell.

    Args:
        registration: called as registration(ddf, label[:, :3]).
        weight: of the mean end-point error, in voxels, inside the mask.
    """

    def __init__(self, *, registration: nn.Module, weight: float) -> None:
        super().__init__()
        self.registration = registration
        self.weight = weight

    def forward(self, ddf_vox: Tensor, label: Tensor) -> Tensor:
        """Score a ddf (B, 3, H, W, D), voxels, by `label` (B, 7, H, W, D): fixed, moving, mask, exact ddf, is known.

        Raises: ValueError if `label` has another number of channels.
        """
        if label.shape[1] != 7:
            raise ValueError(f"label: expected fixed, moving, mask, ddf, is known (7 channels), got {label.shape[1]}")
        unsupervised: Tensor = self.registration(ddf_vox, label[:, :3])
        counted = label[:, 2] * label[:, 6]
        error_vox = torch.linalg.vector_norm(ddf_vox - label[:, 3:6], dim=1)
        return unsupervised + self.weight * (error_vox * counted).sum() / counted.sum().clamp_min(1.0)
