"""Whether scans lie in the frames of reference that a registration object maps, and not the other way round."""

from __future__ import annotations

import logging
from pathlib import Path

from pydicom.uid import DeformableSpatialRegistrationStorage

from bundle.formats.dicom import is_dicom
from bundle.io.dicom_objects.read_object import read_object
from bundle.io.dicom_objects.source import find_source

log = logging.getLogger(__name__)


def check_frames(
    registration: str | Path, *, fixed: tuple[str, str | None], moving: tuple[str, str | None], inverse: bool = False
) -> None:
    """Check that a Deformable Spatial Registration object maps the frame of a fixed scan to that of a moving one.

    Scans that are no DICOM series have no frame of reference and are not checked; nor are other transforms.

    Args:
        fixed, moving: file or folder of a scan, and which series of it, see `find_source`.
        inverse: the object is to be inverted: it maps the moving to the fixed scan.
    Raises: ValueError if a scan lies in the frame of the other one; a third frame is told.
    """
    if not Path(registration).is_file() or not is_dicom(registration):
        return
    data = read_object(registration, DeformableSpatialRegistrationStorage)
    items = data.get("DeformableRegistrationSequence") or []
    sources = {
        str(item.get("SourceFrameOfReferenceUID")) for item in items if "DeformableRegistrationGridSequence" in item
    }
    registered = {str(data.get("FrameOfReferenceUID"))}
    expected = (sources, registered) if inverse else (registered, sources)
    for (path, series), frames, others in zip((fixed, moving), expected, expected[::-1], strict=True):
        if not Path(path).is_dir() and not is_dicom(path):
            continue
        frame = find_source(path, series).frame_of_reference
        if frame in others - frames:
            raise ValueError(
                f"{registration}: expected a registration from the frame of reference of {fixed[0]} to that of "
                f"{moving[0]}, found the other direction ({'without' if inverse else 'with'} --inverse it fits)"
            )
        if frame not in frames:
            log.warning("%s: does not name the frame of reference of %s, %s", registration, path, frame)
