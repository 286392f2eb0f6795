"""What is computed from the registered members of a series."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from monai.data import MetaTensor
from torch import Tensor
from tqdm import tqdm

from bundle.geometry import WorldTransform
from bundle.io import Landmarks
from bundle.series import amplitude, trajectory, volumes
from bundle.series import labels as label_map
from bundle.series.amplitude import write_amplitude
from bundle.series.animation import Animation
from bundle.series.fields import after, mean_transform
from bundle.series.labels import label_motions
from bundle.series.members import Member
from bundle.series.registration import read
from bundle.series.trajectory import draw_trajectories, landmark_trajectories, write_table, write_trajectories
from bundle.series.transitivity import lung_points_mm

LABELS_FILE, PLOT, ANIMATION = "labels.csv", "trajectories.png", "animation.gif"
VERDICTS = ("ok", "check", "failed", "not registered")
RESULTS = (  # of any run: removed before the next one, so that a folder holds one run's results
    *(f"amplitude_{axis}.nii.gz" for axis in amplitude.NAMES),
    amplitude.PICTURE,
    *volumes.FILES.values(),
    trajectory.FILE,
    trajectory.MOTION_FILE,
    LABELS_FILE,
    PLOT,
    ANIMATION,
)


@dataclass(frozen=True)
class Series:
    """The members of a series that can be used, in their order.

    Args:
        members: the reference included.
        transforms: reference to each member, by name, in the same order; the reference's own is the identity.
        reference: its number.
        scan: of the reference, (1, H, W, D), HU.
        lungs: of the reference, (1, H, W, D), above 0 inside; the whole image where no lungs were found.
    """

    members: Sequence[Member]
    transforms: Mapping[str, WorldTransform]
    reference: int
    scan: MetaTensor
    lungs: MetaTensor

    @property
    def names(self) -> list[str]:
        return [member.name for member in self.members]


def displacement_figures(series: Series) -> dict[str, dict[str, float]]:
    """Mean and 95th percentile of |T(x) - x|, mm, over the reference's lungs, by member."""
    points_mm = lung_points_mm(series.lungs)
    figures = {}
    for name, transform in series.transforms.items():
        moved_mm = (transform.transform_points_mm(points_mm) - points_mm).norm(dim=1)
        p95_mm = torch.quantile(moved_mm, 0.95)
        figures[name] = {"mean_mm": round(float(moved_mm.mean()), 3), "p95_mm": round(float(p95_mm), 3)}
    return figures


def write_motion(
    folder: Path, series: Series, landmarks: Landmarks | None, labels: MetaTensor | None, label_names: Mapping[int, str]
) -> dict[str, Any]:
    """Write the amplitude maps and their picture.

    With landmarks or labels also trajectories.csv, motion.csv, labels.csv and trajectories.png.

    Returns: the figures of the amplitude in the lungs, see `write_amplitude`.
    """
    figures = write_amplitude(folder, series.transforms, series.scan, series.lungs[0].as_tensor())
    motions = [] if labels is None else label_motions(series.transforms, labels, label_names)
    lines = [motion.centroid for motion in motions]
    if landmarks is not None:
        names = [label or str(number) for number, (label, _) in enumerate(_named(landmarks), start=1)]
        lines = landmark_trajectories(series.transforms, landmarks.points_mm, names) + lines
    if not lines:
        return figures  # neither landmarks nor labels nor lungs
    write_trajectories(folder, lines, series.names, series.reference)
    rows = [_motion_row(line.kind, line.name, line.amplitude_mm) for line in lines]
    rows += [_motion_row("surface_p95", motion.centroid.name, motion.surface_p95_mm) for motion in motions]
    write_table(folder / trajectory.MOTION_FILE, trajectory.MOTION_COLUMNS, rows)
    write_table(
        folder / LABELS_FILE, label_map.COLUMNS, [row for motion in motions for row in motion.rows(series.names)]
    )
    title = f"{len(series.members)} members, reference {series.names[series.reference]} (grey bar)"
    draw_trajectories(folder / PLOT, lines, series.names, series.reference, title=title)
    return figures


def write_volumes(folder: Path, series: Series) -> None:
    """Write the volumes of `bundle.series.volumes` and animation.gif; every scan is read once."""
    from_mean = mean_transform(list(series.transforms.values())).inverse()
    maximum = volumes.MaximumVolume(series.scan)
    on_reference, at_mean = volumes.MeanVolume(series.scan), volumes.MeanVolume(series.scan)
    animation = Animation(series.scan, series.lungs[0].as_tensor())
    for member in tqdm(series.members, desc="volumes", unit="member"):
        transform = series.transforms[member.name]
        is_reference = member is series.members[series.reference]
        scan = series.scan if is_reference else read(member)
        maximum.add(scan)
        on_reference.add(scan, transform)
        at_mean.add(scan, after(transform, from_mean))
        animation.add(f"{member.name} (reference)" if is_reference else member.name, scan, transform)
    maximum.write(folder / volumes.FILES["maximum"])
    on_reference.write(folder / volumes.FILES["mean_on_reference"])
    at_mean.write(folder / volumes.FILES["mean_position"])
    animation.write(folder / ANIMATION)


def _named(landmarks: Landmarks) -> Sequence[tuple[str, str]]:
    return landmarks.names or [("", "")] * len(landmarks.points_mm)


def _motion_row(kind: str, name: str, amplitude_mm: Tensor) -> list[str]:
    return [kind, name, *(f"{value:.4f}" for value in amplitude_mm.tolist())]


def summary_line(report: Mapping[str, Any], folder: str | Path) -> str:
    """What became of a series, in one line."""
    verdicts = Counter(member["verdict"] for member in report["members"].values())
    counts = ", ".join(f"{verdicts[verdict]} {verdict}" for verdict in VERDICTS if verdicts[verdict])
    motion_mm = report["amplitude_in_lungs"]["3d"]["p95_mm"]
    return (
        f"{len(report['members'])} scans, reference {report['reference']}: {counts}; motion in the lungs "
        f"{motion_mm:.1f} mm peak to peak (95th percentile); results in {folder}"
    )
