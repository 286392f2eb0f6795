"""Tell from the voxels of a scan whether they are Hounsfield units (HU).

A CT in HU has air near -1000 and soft tissue near 0 to 60. Some programs store HU + 1024 or HU + 1000, as in the raw
values of DICOM; others rescale to 0..1 or 0..255.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from torch import Tensor

Scale = Literal["hu", "offset", "doubtful", "unclear", "other"]

SAMPLES = 500_000  # voxels looked at
AIR_HU = (-1100.0, -500.0)  # air and lung; below are the values of padding: -2000, -3024
MIN_AIR_SHARE = 0.005
FAT_HU = -50.0  # below it lie 0.5 % of any CT with fat; other modalities have no such values
# HU + 1024 or + 1000: what the stored values of air and lung, of the gap between lung and tissue, and of tissue are
OFFSET_AIR = (-60.0, 300.0)
OFFSET_GAP = (450.0, 800.0)
OFFSET_TISSUE = (880.0, 1180.0)
OFFSET_MODE = (870.0, 1130.0)  # fat is the most frequent tissue of some patients, muscle of others
OFFSET_SOFT = (500.0, 2000.0)
OFFSETS_HU = (1024.0, 1000.0)
MIN_PEAK_SHARE = 0.03
MAX_GAP_SHARE = 0.5  # of tissue: 0.04 to 0.13 for CT, 0.33 in voxels of 5 mm; MR has all values between its tissues
MIN_TISSUE_SHARE = 0.55  # of `OFFSET_SOFT`: CT has 0.63 or more even where noisy; the tissues of MR are wider apart
MODE_BIN = 8
PADDING_SHARE = 0.01  # of the voxels: more with exactly the same value are padding
# Signs of HU times a factor (0.5, 2 or -1, for example), or of a larger offset
GAP_HU = (-500.0, -200.0)  # between lung and tissue: 0.01 to 0.09 of the voxels, partial volume and ground glass
MAX_GAP = (0.15, 0.5)  # of the voxels, and of the tissue
TISSUE_HU = (-200.0, 200.0)
DARKER_HU, MAX_DARKER_SHARE = -1200.0, 0.2  # darker than air: up to 0.1 in noisy scans
DENSE_HU, MAX_DENSE_SHARE = 700.0, 0.25  # dense bone and metal: up to 0.02
# HU times -1 resembles HU + 1000, but dense bone has values far below those of air
OFFSET_BELOW, OFFSET_BONE = -300.0, 1300.0
ALIKE = 0.02  # of the window
AIR_PEAK_HU, FAT_PEAK_HU, MUSCLE_PEAK_HU = -1000.0, -106.0, 50.0  # they tell 1024 from 1000
SAME_PEAK_HU = 9.0


@dataclass(frozen=True)
class Intensities:
    """What the voxels of a scan are.

    Args:
        scale: "hu"; "offset", HU plus `offset_hu`; "doubtful", values that HU have, distributed as if scaled by a
            factor; "unclear", no air to tell, but values of tissue in HU; "other", no HU: another modality, or a CT
            that was rescaled.
        low, high: range.
        air, tissue: most frequent values of the two, for "offset".
    """

    scale: Scale
    low: float
    high: float
    offset_hu: float = 0.0
    air: float = 0.0
    tissue: float = 0.0

    @property
    def found(self) -> str:
        """The range, for messages."""
        return f"values from {self.low:g} to {self.high:g}"


def find_intensities(scan: Tensor) -> Intensities:
    """What the voxels of a scan (1, H, W, D) are, from its histogram."""
    varied = _varied(scan)
    low, high = (float(value) for value in scan.detach().aminmax())
    offset = _offset(varied)
    if offset is not None:
        return Intensities("offset", low, high, *offset)
    if _share(varied, AIR_HU[0], FAT_HU) < MIN_AIR_SHARE:
        return Intensities("other", low, high)
    if _is_scaled(varied):
        return Intensities("doubtful", low, high)
    return Intensities("hu" if _share(varied, *AIR_HU) >= MIN_AIR_SHARE else "unclear", low, high)


def alike_in_window(scan: Tensor, low: float, high: float) -> float:
    """Share of the voxels of a scan (1, H, W, D) that have nearly the same value after clipping to a window.

    The most frequent value, which may be padding, is left out.
    """
    seen = ((_varied(scan) - low) / (high - low)).clamp(0, 1)
    return float(((seen - seen.median()).abs() < ALIKE).float().mean())


def _varied(scan: Tensor) -> Tensor:
    """Some voxels (N,) of a scan without the most frequent value, which may be padding."""
    voxels = scan.detach().flatten()
    voxels = voxels[:: max(1, len(voxels) // SAMPLES)].float()
    varied = voxels[voxels != voxels.mode().values]
    return voxels if len(varied) < MIN_AIR_SHARE * len(voxels) else varied


def _is_scaled(voxels: Tensor) -> bool:
    """Whether voxels in the range of HU are distributed otherwise."""
    gap, tissue = _share(voxels, *GAP_HU), _share(voxels, *TISSUE_HU)
    return (
        gap > max(MAX_GAP[0], MAX_GAP[1] * tissue)
        or _share_without_padding(voxels, -math.inf, DARKER_HU) > MAX_DARKER_SHARE
        or _share(voxels, DENSE_HU, math.inf) > MAX_DENSE_SHARE
    )


def _offset(voxels: Tensor) -> tuple[float, float, float] | None:
    """Offset, air and tissue of a scan in HU plus 1024 or 1000; None if it is none."""
    soft = _between(voxels, *OFFSET_SOFT)
    air, tissue = _share(voxels, *OFFSET_AIR), _share(voxels, *OFFSET_TISSUE)
    if min(air, tissue) < MIN_PEAK_SHARE or _share(voxels, *OFFSET_GAP) > MAX_GAP_SHARE * tissue:
        return None
    bone = _share_without_padding(voxels, OFFSET_BONE, math.inf)
    if _share_without_padding(voxels, -math.inf, OFFSET_BELOW) > bone:
        return None
    tissue_mode = _mode(soft)
    if not OFFSET_MODE[0] <= tissue_mode < OFFSET_MODE[1] or _share(soft, *OFFSET_TISSUE) < MIN_TISSUE_SHARE:
        return None
    air_mode = _mode(_between(voxels, *OFFSET_AIR))
    return _nearest_offset(air_mode, tissue_mode), air_mode, tissue_mode


def _nearest_offset(air: float, tissue: float) -> float:
    """1024 or 1000, by the peak of air, else by that of fat or muscle; 1024, the usual one, if none of them tells."""
    for offset in OFFSETS_HU:
        if abs(air - offset - AIR_PEAK_HU) < SAME_PEAK_HU:
            return offset
    return min(
        OFFSETS_HU, key=lambda offset: min(abs(tissue - offset - peak) for peak in (FAT_PEAK_HU, MUSCLE_PEAK_HU))
    )


def _between(voxels: Tensor, low: float, high: float) -> Tensor:
    return voxels[(voxels >= low) & (voxels < high)]


def _share(voxels: Tensor, low: float, high: float) -> float:
    return float(((voxels >= low) & (voxels < high)).float().mean()) if len(voxels) else 0.0


def _share_without_padding(voxels: Tensor, low: float, high: float) -> float:
    """`_share` without values that `PADDING_SHARE` of the voxels have."""
    _, counts = _between(voxels, low, high).unique(return_counts=True)
    return float(counts[counts < PADDING_SHARE * len(voxels)].sum()) / max(len(voxels), 1)


def _mode(voxels: Tensor) -> float:
    """Middle of the fullest bin of `MODE_BIN`."""
    bins = (voxels / MODE_BIN).floor()
    return float(bins.mode().values * MODE_BIN + MODE_BIN / 2)
