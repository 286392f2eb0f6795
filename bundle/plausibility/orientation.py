"""Whether both scans of a pair lie as their headers say, by comparing them in all orientations."""

from __future__ import annotations

from itertools import permutations, product

import numpy as np
import torch
import torch.nn.functional as F

from bundle.plausibility.geometry import LungView

REACH = 0.1  # of the lungs' extent, beyond them at each end; not in mm, which a wrong header states wrongly
SIDE = 24  # of the compared volumes; breathing and vessels vanish, lungs, heart, spine and liver remain
WINDOW_HU = (-1000.0, 200.0)
MIN_MATCH = 0.75  # correlation: 0.85 to 0.99 in one patient, up to 0.78 in two
MIN_GAIN = 0.04  # one patient: a scan fits 0.04 to 0.26 better than its mirror image, and more than other turns
DIRECTIONS = ("left-right", "front-back", "head-foot")
ORIENTATIONS = list(product(permutations(range(3)), product((False, True), repeat=3)))


def other_orientation(fixed: LungView, moving: LungView) -> list[str]:
    """Signs that the header of one scan is turned or mirrored: another orientation fits the other scan much better.

    The lungs and what surrounds them are scaled to one box, so that breathing and voxel sizes matter little.
    """
    target, source = _box(fixed), _box(moving)
    matches = {turn: float((target * _turned(source, *turn)).mean()) for turn in ORIENTATIONS}
    as_stated = matches[ORIENTATIONS[0]]
    best = max(matches, key=lambda turn: matches[turn])
    if matches[best] < MIN_MATCH or matches[best] < as_stated + MIN_GAIN:
        return []
    axes, flips = best
    if axes == (0, 1, 2):
        words = "mirrored " + " and ".join(name for name, flip in zip(DIRECTIONS, flips, strict=True) if flip)
    else:
        words = "with its axes exchanged"
    return [
        f"the moving scan fits the fixed one better {words} (correlation {matches[best]:.2f}, {as_stated:.2f} as the "
        "headers say)"
    ]


def _box(view: LungView) -> np.ndarray:
    """The lungs and what surrounds them (24, 24, 24), with mean 0 and standard deviation 1."""
    reach = np.ceil(REACH * (view.high - view.low)).astype(int)
    padded = np.pad(view.hu, [(width, width) for width in reach], mode="edge")
    part = padded[tuple(slice(*ends) for ends in zip(view.low, view.high + 2 * reach, strict=True))]
    pooled = F.adaptive_avg_pool3d(torch.from_numpy(part.clip(*WINDOW_HU))[None], SIDE)[0].numpy()
    return np.asarray((pooled - pooled.mean()) / max(float(pooled.std()), 1e-6))


def _turned(box: np.ndarray, axes: tuple[int, ...], flips: tuple[bool, ...]) -> np.ndarray:
    return np.flip(box.transpose(axes), tuple(axis for axis, flip in enumerate(flips) if flip))
