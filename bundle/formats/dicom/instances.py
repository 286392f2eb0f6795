"""The header of a DICOM file."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

import pydicom
from pydicom import Dataset
from pydicom.uid import UID

from bundle.formats.dicom.frames import TAGS as FRAME_TAGS
from bundle.formats.dicom.frames import Frame, Values, read_frames
from bundle.formats.dicom.syntax import is_decoded_by_gdcm

MAGIC_AT, MAGIC = 128, b"DICM"
FIRST_GROUPS = (b"\x02\x00", b"\x08\x00")  # of old files without the preamble
CT_CLASSES = (
    "1.2.840.10008.5.1.4.1.1.2",  # CT Image Storage
    "1.2.840.10008.5.1.4.1.1.2.1",  # Enhanced CT
    "1.2.840.10008.5.1.4.1.1.2.2",  # Legacy Converted Enhanced CT
)
NO_SCANS = ("RTDOSE", "RTSTRUCT", "RTPLAN", "SEG", "REG", "SR", "PR", "KO", "DOC")  # modalities
DICOMDIR_CLASS = "1.2.840.10008.1.3.10"
DEFLATED = "1.2.840.10008.1.2.1.99"
ITEM, ITEMS_END = b"\xfe\xff\x00\xe0", b"\xfe\xff\xdd\xe0"
IMPLICIT = "1.2.840.10008.1.2"
TAGS = [
    *FRAME_TAGS,
    *("SOPClassUID", "SeriesInstanceUID", "Modality", "SamplesPerPixel", "PhotometricInterpretation"),
    *("BitsAllocated", "BitsStored", "HighBit", "SpecificCharacterSet"),
]
META_TAGS = ("MediaStorageSOPClassUID", "TransferSyntaxUID")


@dataclass(frozen=True)
class Instance:
    """Header of one DICOM file; without frames if it is no image.

    Args:
        fault: why its pixels cannot be used, though its header is complete; empty of a good file.
    """

    file: str
    series_uid: str
    description: str
    modality: str
    is_color: bool
    frames: tuple[Frame, ...] = ()
    fault: str = ""


def is_dicom(file: str | Path) -> bool:
    """Whether a file is DICOM, by its first bytes."""
    with open(file, "rb") as stream:
        head = stream.read(MAGIC_AT + len(MAGIC))
    return _has_magic(head) or (head[:2] in FIRST_GROUPS and head[3:4] == b"\x00" and len(head) > MAGIC_AT)


def _has_magic(head: bytes) -> bool:
    return head[MAGIC_AT : MAGIC_AT + len(MAGIC)] == MAGIC


def read_instance(file: str | Path) -> Instance | None:
    """Header of a DICOM file; None for a DICOMDIR and for what is no DICOM.

    Raises: ValueError naming the file if its header is damaged, so that its series is uncertain.
    """
    status = os.stat(file)
    return _read_instance(str(file), status.st_mtime_ns, status.st_size)


@lru_cache(maxsize=8192)  # headers are checked before voxels are read
def _read_instance(file: str, _: int, size: int) -> Instance | None:
    if not is_dicom(file) or Path(file).name.upper() == "DICOMDIR":
        return None
    try:
        with open(file, "rb") as stream:
            has_magic = _has_magic(stream.read(MAGIC_AT + len(MAGIC)))
            stream.seek(0)
            data = pydicom.dcmread(stream, stop_before_pixels=True, specific_tags=list(TAGS), force=True)
            left = size - stream.tell()
        meta = getattr(data, "file_meta", Dataset())
        values = {element.keyword: element.value for element in data}
        values |= {keyword: str(meta.get(keyword, "")) for keyword in META_TAGS}
        instance = _instance(file, values, must_be_one=has_magic)
    except Exception as error:  # damaged values make pydicom raise dozens of types, struct.error and zlib.error too
        raise _refusal(file, error) from error
    if instance is None or instance.modality in NO_SCANS or not (values.get("Rows") and values.get("Columns")):
        return instance
    is_ct = instance.modality == "CT"
    frames: tuple[Frame, ...] = ()
    try:
        frames = tuple(read_frames(file, values, values["TransferSyntaxUID"], is_ct=is_ct))
        if is_ct:
            _check_pixels(file, values, left)
    except Exception as error:  # functional groups are parsed here
        return replace(instance, frames=frames, fault=str(_refusal(file, error)))
    return replace(instance, frames=frames)


def _refusal(file: str, error: Exception) -> ValueError:
    reason = str(error)
    return ValueError(reason if reason.startswith(file) else f"{file}: unreadable DICOM header, damaged? ({reason})")


def _instance(file: str, values: Values, *, must_be_one: bool) -> Instance | None:
    """The header without its frames; None for a DICOMDIR, and for no DICOM unless it `must_be_one`."""
    sop_class = values.get("SOPClassUID")
    if DICOMDIR_CLASS in (sop_class, values["MediaStorageSOPClassUID"]):
        return None
    is_image = bool(values.get("Rows") and values.get("Columns"))
    if not is_image and not (sop_class and values.get("SeriesInstanceUID")):
        if must_be_one:
            raise ValueError(f"{file}: truncated or damaged: DICOM without SOPClassUID or SeriesInstanceUID")
        return None
    modality = "CT" if sop_class in CT_CLASSES else str(values.get("Modality") or "unknown")
    if modality == "CT" and not is_image:
        raise ValueError(f"{file}: truncated or damaged: a CT image without Rows and Columns")
    photometric = str(values.get("PhotometricInterpretation") or "MONOCHROME2")
    return Instance(
        file=file,
        series_uid=str(values.get("SeriesInstanceUID") or "").strip(),
        description=str(values.get("SeriesDescription") or "").strip(),
        modality=modality,
        is_color=int(values.get("SamplesPerPixel") or 1) != 1 or not photometric.startswith("MONOCHROME"),
    )


def _check_pixels(file: str, values: Values, left: int) -> None:
    """Check the layout of the pixels, and that all of them are there if not compressed; `left`: bytes after the header.

    Raises: ValueError naming the file.
    """
    allocated = int(values.get("BitsAllocated") or 16)
    stored = int(values.get("BitsStored") or allocated)
    high_bit = int(values.get("HighBit") or stored - 1)
    if not stored - 1 == high_bit < allocated:
        raise ValueError(
            f"{file}: expected pixels in the lowest bits, found HighBit {high_bit}, BitsStored {stored} and "
            f"BitsAllocated {allocated}"
        )
    uid = UID(values["TransferSyntaxUID"] or IMPLICIT)
    if uid == DEFLATED:
        return
    if is_decoded_by_gdcm(uid):
        _check_fragments(file, left)
        return
    expected, found = 1, left
    if not uid.is_private and uid.is_transfer_syntax and not uid.is_compressed:
        samples = int(values.get("NumberOfFrames") or 1) * int(values.get("SamplesPerPixel") or 1)
        expected = values["Columns"] * values["Rows"] * samples * allocated // 8
        found = left - (8 if uid.is_implicit_VR else 12)  # tag, type and length
    if found < expected:
        raise ValueError(f"{file}: truncated: expected {expected} bytes of pixels, found {max(found, 0)}")


def _check_fragments(file: str, left: int) -> None:
    """Check that compressed pixels are whole items; GDCM allocates whatever length a damaged one states."""
    with open(file, "rb") as stream:
        stream.seek(-left + 12, os.SEEK_END)  # tag, type and length
        size = os.fstat(stream.fileno()).st_size
        items = 0
        while head := stream.read(8):
            tag, length = head[:4], int.from_bytes(head[4:], "little")
            if tag == ITEMS_END:
                break
            if tag != ITEM or stream.seek(length, os.SEEK_CUR) > size:
                raise ValueError(f"{file}: truncated or damaged: compressed pixels end within an item")
            items += 1
    if items < 2:  # the table of offsets, and an image
        raise ValueError(f"{file}: truncated or damaged: expected compressed pixels, found none")
