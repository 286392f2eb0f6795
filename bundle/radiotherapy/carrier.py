"""A result folder with DICOM scans: from where to where objects are carried."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import itk

from bundle.data import ResultFolder
from bundle.io import ImageHeader, content_sha256, read_image
from bundle.io.dicom_objects import Source, find_source


@dataclass(frozen=True)
class Carrier:
    """The way from one scan of a result folder to the other.

    Args:
        name: of the folder, for errors.
        source, target: the scans that objects belong to before and after.
        to_source, to_target: world of the one to world of the other, LPS mm.
    """

    name: str
    source: Source
    target: Source
    to_source: itk.Transform
    to_target: itk.Transform

    @classmethod
    def read(
        cls, folder: str | Path, *, fixed: str | None = None, moving: str | None = None, inverse: bool = False
    ) -> Carrier:
        """From the moving to the fixed scan of a result folder, or back.

        Args:
            fixed, moving: where the scans are now, or the DICOM series that they were made from.
            inverse: from the fixed to the moving scan.
        Raises: FileNotFoundError, ValueError: see `bundle.data.ResultFolder.read` and `find_source`; also ValueError
            for a failed registration, or a scan with other voxels than the registered one.
        """
        result = ResultFolder.read(folder, fixed=fixed, moving=moving)
        result.refuse_failed()
        scans = {}
        for key, given in (("fixed", fixed), ("moving", moving)):
            file, series = result.files[key], result.files.get(f"{key}_series")
            try:
                scans[key] = find_source(file, series)
            except ValueError as error:
                raise ValueError(f"{error} (--{key} names the DICOM series of the {key} scan)") from error
            if given is not None and content_sha256(read_image(file, series)) != result.report["sha256"][key]:
                raise ValueError(f"{file}: expected the {key} scan that was registered in {folder}, found other voxels")
        if inverse:
            return cls(str(folder), scans["fixed"], scans["moving"], result.inverse, result.transform)
        return cls(str(folder), scans["moving"], scans["fixed"], result.transform, result.inverse)

    @property
    def source_grid(self) -> ImageHeader:
        return grid_of(self.source)

    @property
    def target_grid(self) -> ImageHeader:
        return grid_of(self.target)


def grid_of(source: Source) -> ImageHeader:
    """Grid of a series."""
    columns, rows, slices = source.volume.grid.size
    return ImageHeader(source.volume.series.uid, (columns, rows, slices), source.affine)


def check_reference(ways: Sequence[Carrier]) -> Carrier:
    """The first of several ways to one scan. Raises: ValueError if they lead to different ones."""
    first = ways[0]
    for way in ways:
        if way.target.volume.choice != first.target.volume.choice:
            raise ValueError(
                f"{way.name}: expected the fixed scan of {first.name}, series {first.target.volume.choice}, found "
                f"{way.target.volume.choice}"
            )
    return first
