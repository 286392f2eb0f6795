from __future__ import annotations

from monai.networks.blocks import Warp
from torch import Tensor, nn
from torch.nn.modules.loss import _Loss


class RegistrationLoss(_Loss):
    """Dissimilarity of the fixed and warped images plus a weighted regularization of the ddf.

    Args:
        similarity: called as similarity(warped, fixed, mask=mask), lower is better.
        regularization: called as regularization(ddf).
        weight: of the regularization (lambda; 0.01 in the paper).
    Source: He et al. 2021, eq. 3.
    """

    def __init__(self, *, similarity: nn.Module, regularization: nn.Module, weight: float) -> None:
        super().__init__()
        self.similarity = similarity
        self.regularization = regularization
        self.weight = weight
        # Border, not zeros: 0 is air here, and air outside the grid would bias the similarity.
        self.warp = Warp(mode="bilinear", padding_mode="border")

    def forward(self, ddf_vox: Tensor, label: Tensor) -> Tensor:
        """Loss of a ddf (B, 3, H, W, D), voxels, for `label` (B, 3, H, W, D): fixed, moving and mask.

        The mask, on the fixed grid, weights the similarity only; the regularization covers the whole grid.

        Raises: ValueError if `label` does not have the shape of the ddf.
        """
        if label.shape != ddf_vox.shape:
            raise ValueError(
                f"label: expected fixed, moving, mask in the shape of the ddf {tuple(ddf_vox.shape)}, "
                f"got {tuple(label.shape)}"
            )
        fixed, moving, mask = label.split(1, dim=1)
        similarity: Tensor = self.similarity(self.warp(moving, ddf_vox), fixed, mask=mask)
        return similarity + self.weight * self.regularization(ddf_vox)
