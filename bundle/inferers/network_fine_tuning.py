"""Instance optimisation of a network: fine-tune a copy on one pair."""

from __future__ import annotations

import copy
import time
from statistics import fmean
from typing import TypeVar

import torch
from torch import Tensor, nn
from tqdm import tqdm

Network = TypeVar("Network", bound=nn.Module)

STABLE_STEPS = 20  # ends when the mean loss of this many steps
STABLE_GAIN = 5e-4  # is lower than that of the previous ones by less than this


class NetworkFineTuning:
    """Train a copy of the network on crops of one pair, as the paper does on all pairs it reports.

    The network itself does not change, so results do not depend on the order of the pairs. Deterministic on a CPU.

    Args:
        loss: called as loss(ddf, label), label (1, 3, H, W, D): fixed, moving and the mask in which similarity counts.
        max_steps: of Adam; fewer if the loss becomes stable.
        learning_rate: Adam's.
        crop_vox: side of the crops, voxels of the network's input, a multiple of 16; their centres are random voxels
            of the mask.
        time_budget_s: no step starts later than this; None for no limit.
    """

    def __init__(
        self,
        *,
        loss: nn.Module,
        max_steps: int = 100,
        learning_rate: float = 1e-4,
        crop_vox: int = 64,
        time_budget_s: float | None = None,
    ) -> None:
        self.loss = loss
        self.max_steps = max_steps
        self.learning_rate = learning_rate
        self.crop_vox = crop_vox
        if time_budget_s is not None and time_budget_s < 0:
            raise ValueError(f"refine_budget_s: expected seconds of 0 or more, got {time_budget_s:g}")
        self.time_budget_s = time_budget_s

    def __call__(self, network: Network, image: Tensor, mask: Tensor | None = None) -> Network:
        """A copy of the network, fine-tuned on `image` (1, 2, H, W, D); mask (1, 1, H, W, D), None for all of it."""
        deadline = time.monotonic() + (float("inf") if self.time_budget_s is None else self.time_budget_s)
        region = torch.ones_like(image[:, :1]) if mask is None else (mask > 0.5).to(image)
        generator = torch.Generator().manual_seed(0)
        losses: list[float] = []
        with torch.inference_mode(False), torch.enable_grad():  # inputs of hosts in inference mode must be cloned
            label = torch.cat([image, region], dim=1).float().clone()
            centres = label[0, 2].nonzero().cpu()
            with torch.no_grad():  # or the copied parameters of a TorchScript network are no leaves
                tuned = copy.deepcopy(network)
            for parameter in tuned.parameters():  # ScriptModule has no requires_grad_ of its own
                parameter.requires_grad_()
            optimizer = torch.optim.Adam(tuned.parameters(), lr=self.learning_rate)
            for _ in tqdm(range(self.max_steps), desc="fine-tuning", unit="step"):
                stable = len(losses) >= 2 * STABLE_STEPS and _gain(losses) < STABLE_GAIN
                if stable or time.monotonic() > deadline:
                    break
                centre = centres[torch.randint(len(centres), (1,), generator=generator)][0]
                part = label[self._crop(centre, label)]
                optimizer.zero_grad()
                loss = self.loss(tuned(part[:, :2]), part)
                loss.backward()
                optimizer.step()
                losses.append(float(loss.detach()))
        return tuned

    def _crop(self, centre: Tensor, label: Tensor) -> tuple[slice, ...]:
        """A cube around the voxel `centre` (3,), shifted to lie inside the image."""
        starts = [
            max(0, min(int(middle) - self.crop_vox // 2, side - self.crop_vox))
            for middle, side in zip(centre, label.shape[2:], strict=True)
        ]
        return slice(None), slice(None), *(slice(start, start + self.crop_vox) for start in starts)


def _gain(losses: list[float]) -> float:
    return fmean(losses[-2 * STABLE_STEPS : -STABLE_STEPS]) - fmean(losses[-STABLE_STEPS:])
