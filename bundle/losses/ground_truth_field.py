from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.modules.loss import _Loss


class GroundTruthFieldLoss(_Loss):
    """Unsupervised registration loss plus, for pairs with a ground-truth field, the distance to it.

    Differs from the paper (sec. 3.3), which trains on the pairs it reports: for unseen pairs, simulated breaths provide
    supervision where the LNCC of misaligned vessels is uninformative.

    Args:
        registration: called as registration(ddf, label[:, :3]).
        weight: of the mean end-point error, voxels, inside the mask.
    """

    def __init__(self, *, registration: nn.Module, weight: float) -> None:
        super().__init__()
        self.registration = registration
        self.weight = weight

    def forward(self, ddf_vox: Tensor, label: Tensor) -> Tensor:
        """Loss of a ddf (B, 3, H, W, D), voxels.

        Args:
            label: (B, 7, H, W, D): fixed, moving, mask, ground-truth ddf (3), and 1 where that is available, else 0.
        Raises: ValueError if `label` has another number of channels.
        """
        if label.shape[1] != 7:
            raise ValueError(f"label: expected fixed, moving, mask, ddf, available (7 channels), got {label.shape[1]}")
        unsupervised: Tensor = self.registration(ddf_vox, label[:, :3])
        region = label[:, 2] * label[:, 6]
        error_vox = torch.linalg.vector_norm(ddf_vox - label[:, 3:6], dim=1)
        return unsupervised + self.weight * (error_vox * region).sum() / region.sum().clamp_min(1.0)
