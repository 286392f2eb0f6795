"""Files and geometry of a folder with one DICOM series."""

from __future__ import annotations

from pathlib import Path

import itk
import numpy as np

EVEN_TOLERANCE = 0.1  # of the slice distance; a missing slice deviates by 1, rounded positions by far less


def series_files(folder: Path) -> list[str]:
    """Files of the only DICOM series in `folder`, in slice order.

    Series are distinguished as in MONAI's ITKReader. Raises: FileNotFoundError if there is none; ValueError listing
    them if there are several.
    """
    names = itk.GDCMSeriesFileNames.New()
    names.SetUseSeriesDetails(True)
    names.AddSeriesRestriction("0008|0021")  # series date
    names.SetDirectory(str(folder))
    series = {uid: list(names.GetFileNames(uid)) for uid in names.GetSeriesUIDs()}
    if not series:
        raise FileNotFoundError(f"{folder}: no DICOM file in this folder")
    if len(series) > 1:
        listing = "; ".join(f"{len(files)} files, e.g. {Path(files[0]).name}" for files in series.values())
        raise ValueError(f"{folder}: expected one DICOM series per folder, got {len(series)}: {listing}")
    return next(iter(series.values()))


def series_geometry(folder: Path, files: list[str]) -> tuple[list[int], list[float], np.ndarray, list[float]]:
    """Size (3), spacing (3) mm, direction (3, 3) by column and origin (3), LPS mm, as ITK derives them from the slices.

    Raises: ValueError if a slice is unreadable or RGB, slices differ in grid, or they are missing or duplicated.
    """
    image_io = itk.GDCMImageIO.New()
    slices = []
    for file in files:
        image_io.SetFileName(file)
        try:
            image_io.ReadImageInformation()
        except RuntimeError as error:
            raise ValueError(f"{file}: unreadable DICOM header") from error
        if image_io.GetNumberOfComponents() != 1:
            raise ValueError(f"{file}: expected one value per voxel, got {image_io.GetNumberOfComponents()} (RGB)")
        shape = [image_io.GetDimensions(axis) for axis in range(2)]
        axes = np.array([image_io.GetDirection(axis) for axis in range(3)]).T
        spacing = [image_io.GetSpacing(axis) for axis in range(2)]
        slices.append((shape, spacing, axes, np.array([image_io.GetOrigin(axis) for axis in range(3)])))
    shape, spacing, axes, origin = slices[0]
    for file, (other_shape, other_spacing, other_axes, _) in zip(files, slices, strict=True):
        if (
            other_shape != shape
            or not np.allclose(other_spacing, spacing)
            or not np.allclose(other_axes, axes, atol=1e-4)
        ):
            raise ValueError(
                f"{file}: expected the shape, spacing and orientation of the first slice, {Path(files[0]).name}"
            )
    steps = np.diff([position for *_, position in slices], axis=0)
    step = (slices[-1][3] - origin) / (len(files) - 1)  # as in ITK: from the first to the last slice
    spacing_z = float(np.linalg.norm(step))
    uneven = np.linalg.norm(steps - step, axis=1).max()
    if spacing_z == 0 or uneven > EVEN_TOLERANCE * spacing_z:
        worst = int(np.linalg.norm(steps - step, axis=1).argmax())
        raise ValueError(
            f"{folder}: slices are missing, duplicated or unevenly spaced: expected {spacing_z:.3f} mm (the mean), got "
            f"{np.linalg.norm(steps[worst]):.3f} mm between {Path(files[worst]).name} and {Path(files[worst + 1]).name}"
        )
    direction = np.column_stack([axes[:, 0], axes[:, 1], step / spacing_z])
    return [*shape, len(files)], [*spacing, spacing_z], direction, origin.tolist()
