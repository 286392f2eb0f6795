"""The frames of a DICOM file: one of a classic slice, many of an enhanced multi-frame file."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from pydicom import Dataset

# Attributes that tell volumes of one series apart, in the order in which they are tried, and where enhanced files keep
# them: (sequence, attribute).
STACK = "StackID"
PHASES: dict[str, tuple[str, str]] = {
    STACK: ("FrameContentSequence", STACK),
    "TemporalPositionIdentifier": ("FrameContentSequence", "TemporalPositionIndex"),
    "NominalPercentageOfCardiacPhase": ("CardiacSynchronizationSequence", "NominalPercentageOfCardiacPhase"),
    "NominalPercentageOfRespiratoryPhase": (
        "RespiratorySynchronizationSequence",
        "NominalPercentageOfRespiratoryPhase",
    ),
    "TriggerTime": ("CardiacSynchronizationSequence", "NominalCardiacTriggerDelayTime"),
    "AcquisitionNumber": ("FrameContentSequence", "FrameAcquisitionNumber"),
    "SeriesDescription": ("FrameContentSequence", "FrameLabel"),
    "ImageComments": ("FrameContentSequence", "FrameComments"),
    "ConvolutionKernel": ("CTReconstructionSequence", "ConvolutionKernel"),
    "KVP": ("CTXRayDetailsSequence", "KVP"),
}
Values = dict[str, Any]  # of a header, by keyword
GROUPS = ("SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence")
TAGS = [
    *("SOPInstanceUID", "InstanceNumber", "NumberOfFrames", "ImageType", "Rows", "Columns"),
    *("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "PixelRepresentation"),
    *("RescaleSlope", "RescaleIntercept", "ModalityLUTSequence", "PixelPaddingValue", "PixelPaddingRangeLimit"),
    *PHASES,
    *GROUPS,
]  # what `read_frames` needs


@dataclass(frozen=True)
class Frame:
    """One slice: where it is in its file and in the patient (LPS, mm), and how its stored values become HU.

    Args:
        index: its number among the `count` frames of the file, from 0.
        syntax: transfer syntax, empty if the file states none.
        shape: columns, rows.
        spacing: between columns, between rows, mm.
        padding: lowest and highest stored value of pixels outside the scan, of CT.
        kind: the first three values of ImageType, or of the FrameType of a frame: ORIGINAL, PRIMARY, AXIAL.
        phase: attributes that may tell phases apart, see `PHASES`.
    """

    file: str
    index: int
    count: int
    syntax: str
    sop_uid: str
    number: int
    shape: tuple[int, int]
    position: tuple[float, ...] | None
    cosines: tuple[float, ...] | None
    spacing: tuple[float, ...] | None
    slope: float
    intercept: float
    padding: tuple[int, int] | None
    is_localizer: bool
    kind: tuple[str, ...] = ()
    phase: dict[str, str] = field(default_factory=dict)


def read_frames(file: str, values: Values, syntax: str, *, is_ct: bool) -> Iterator[Frame]:
    """The frames of an image from its header. Raises: ValueError naming the file for values that make no sense."""
    shared, each = (values.get(keyword) or [] for keyword in GROUPS)
    count = int(values.get("NumberOfFrames") or 1)
    if each and len(each) != count:
        raise ValueError(f"{file}: expected {count} frames in PerFrameFunctionalGroupsSequence, found {len(each)}")
    for index in range(count if each else 1):  # without groups, frames have no positions
        yield _frame(file, (index, count), values, [*each[index : index + 1], *shared[:1]], syntax, is_ct=is_ct)


def _frame(
    file: str, index: tuple[int, int], values: Values, holders: list[Dataset], syntax: str, *, is_ct: bool
) -> Frame:
    """A frame from its own functional groups, those shared by all frames, or the attributes of the file."""

    def value(sequence: str, keyword: str, top: str | None = None) -> Any:
        for holder in holders:
            items = holder.get(sequence)
            if items and items[0].get(keyword) is not None:
                return items[0][keyword].value
        # attributes of the file hold for all frames, except the position
        return values.get(top or keyword) if index[1] == 1 or keyword != "ImagePositionPatient" else None

    spacing = _numbers(file, "PixelSpacing", value("PixelMeasuresSequence", "PixelSpacing"), 2)
    slope = _numbers(file, "RescaleSlope", value("PixelValueTransformationSequence", "RescaleSlope"), 1)
    shift = _numbers(file, "RescaleIntercept", value("PixelValueTransformationSequence", "RescaleIntercept"), 1)
    if slope is not None and slope[0] == 0:
        raise ValueError(f"{file}: expected a RescaleSlope other than 0")
    if slope is None and values.get("ModalityLUTSequence"):
        raise ValueError(f"{file}: expected RescaleSlope, found a table of values (ModalityLUTSequence)")
    kinds = [_words(values.get("ImageType")), _words(value("CTImageFrameTypeSequence", "FrameType", "ImageType"))]
    phase = {name: value(*place, name) for name, place in PHASES.items()}
    return Frame(
        file=file,
        index=index[0],
        count=index[1],
        syntax=syntax,
        sop_uid=str(values.get("SOPInstanceUID") or ""),
        number=int(values.get("InstanceNumber") or 0),
        shape=(int(values["Columns"]), int(values["Rows"])),
        position=_numbers(file, "ImagePositionPatient", value("PlanePositionSequence", "ImagePositionPatient"), 3),
        cosines=_numbers(
            file, "ImageOrientationPatient", value("PlaneOrientationSequence", "ImageOrientationPatient"), 6
        ),
        spacing=spacing and spacing[::-1],  # DICOM gives rows first
        slope=slope[0] if slope else 1.0,
        intercept=shift[0] if shift else 0.0,
        padding=_padding(values) if is_ct else None,
        is_localizer=any("LOCALIZER" in kind for kind in kinds),
        kind=kinds[-1][:3],
        phase={name: label_of(found) for name, found in phase.items() if found not in (None, "")},
    )


def _words(value: Any) -> tuple[str, ...]:
    words = [value] if isinstance(value, str) else value or []
    return tuple(str(word).strip().upper() for word in words)


def _numbers(file: str, keyword: str, value: Any, count: int) -> tuple[float, ...] | None:
    if value is None or (isinstance(value, (str, Sequence)) and len(value) == 0):
        return None
    values = list(value) if isinstance(value, Sequence) and not isinstance(value, str) else [value]
    numbers = tuple(float(number) for number in values)
    if len(numbers) != count or not all(map(math.isfinite, numbers)):
        raise ValueError(f"{file}: expected {count} finite numbers in {keyword}, found {numbers}")
    return numbers


def _padding(values: Values) -> tuple[int, int] | None:
    """Stored values of the padding. Their sign is ambiguous in the file: it is that of the pixels."""
    limits = []
    for keyword in ("PixelPaddingValue", "PixelPaddingRangeLimit"):
        value = values.get(keyword)
        if isinstance(value, bytes):  # implicit VR; big endian has explicit VR
            value = int.from_bytes(value[:2], "little") if value else None
        if value is not None and value != "":
            unsigned = int(value) % (1 << 16)
            is_signed = bool(values.get("PixelRepresentation")) and unsigned >= 1 << 15
            limits.append(unsigned - (1 << 16) if is_signed else unsigned)
    return (min(limits), max(limits)) if limits else None


def label_of(value: Any) -> str:
    """Name of a phase: numbers in their shortest form."""
    if isinstance(value, Sequence) and not isinstance(value, str):
        return "/".join(map(label_of, value))
    try:
        return f"{float(value):g}"
    except (TypeError, ValueError):
        return str(value).strip()
