"""Voxels of DICOM frames in HU, decoded by pydicom and ITK (GDCM)."""

from __future__ import annotations

import logging
from collections.abc import Sequence

import itk
import numpy as np
import pydicom
from pydicom.uid import ImplicitVRLittleEndian

from bundle.formats.dicom import Frame, is_decoded_by_gdcm, syntax_name
from bundle.resample import AIR_HU

log = logging.getLogger(__name__)

TISSUE_HU = (AIR_HU + 100, 3000.0)  # a padding value in between would also replace pixels of the body


def read_voxels(frames: Sequence[Frame]) -> itk.Image:
    """HU of frames, in their order, as an ITK image of float32 without geometry: padding is `AIR_HU`.

    Raises: ValueError naming the file if its pixels cannot be decoded.
    """
    columns, rows = frames[0].shape
    slots: dict[str, list[int]] = {}
    for slot, frame in enumerate(frames):
        slots.setdefault(frame.file, []).append(slot)
    tissue: float | None = None
    image = None
    for file, places in slots.items():
        planes = _stored(file, frames[places[0]].syntax)
        if image is None:  # the first file has as many pixels as its header states
            image = itk.Image[itk.F, 3].New()
            image.SetRegions([columns, rows, len(frames)])
            image.Allocate()
            voxels = itk.array_view_from_image(image)
        for slot in places:
            frame = frames[slot]
            if planes.shape[1:] != (rows, columns) or frame.index >= len(planes):
                raise ValueError(
                    f"{file}: expected {(columns, rows)} pixels in every frame, found {planes.shape[::-1]}"
                )
            voxels[slot] = planes[frame.index] * np.float64(frame.slope) + frame.intercept
            if (ignored := _fill_padding(voxels[slot], frame)) is not None:
                tissue = ignored
    if tissue is not None:
        log.warning("%s: PixelPaddingValue is a value of tissue (%g HU); it is ignored", frames[0].file, tissue)
    return image


def _stored(file: str, syntax: str) -> np.ndarray:
    """Stored values (frames, rows, columns) of a file."""
    if is_decoded_by_gdcm(syntax) and (planes := _stored_by_gdcm(file)) is not None:
        return planes
    try:
        return _stored_by_pydicom(file)
    except Exception as error:  # of many types: its decoders are plugins
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        name = syntax_name(syntax) if syntax else "no transfer syntax"
        raise ValueError(f"{file}: the pixels cannot be decoded, truncated or damaged? ({name}: {reason})") from error


def _stored_by_pydicom(file: str) -> np.ndarray:
    data = pydicom.dcmread(file, force=True)
    if "TransferSyntaxUID" not in data.file_meta:
        data.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian
    planes: np.ndarray = data.pixel_array.reshape(-1, int(data.Rows), int(data.Columns))
    if planes.dtype.kind in "iu":  # bits above the stored ones may hold an overlay
        unused = 8 * planes.dtype.itemsize - int(data.BitsStored)
        planes = (planes << unused) >> unused
    return planes


def _stored_by_gdcm(file: str) -> np.ndarray | None:
    """None of what GDCM does not decode: RLE longer than the raw pixels, as of small noisy images, or MONOCHROME1.

    GDCM turns MONOCHROME1 upside down as for display, and rescales all frames of a file by the numbers of its first.
    """
    image_io = itk.GDCMImageIO.New()
    reader = itk.ImageFileReader[itk.Image[itk.F, 3]].New()
    reader.SetImageIO(image_io)
    reader.SetFileName(file)
    try:
        reader.UpdateOutputInformation()
        if image_io.GetMetaDataDictionary()["0028|0004"].strip() != "MONOCHROME2":
            return None
        reader.Update()
    except RuntimeError:
        return None
    planes = itk.array_view_from_image(reader.GetOutput()).astype(np.float64)
    slope, intercept = image_io.GetRescaleSlope(), image_io.GetRescaleIntercept()
    stored: np.ndarray = np.rint((planes - intercept) / slope)
    return stored


def _fill_padding(plane: np.ndarray, frame: Frame) -> float | None:
    """Set padding to air, in place, unless its value is one of tissue: then returns that, in HU."""
    if frame.padding is None:
        return None
    low, high = sorted(value * frame.slope + frame.intercept for value in frame.padding)
    if high > TISSUE_HU[0] and low < TISSUE_HU[1]:
        return high
    half = abs(frame.slope) / 2
    plane[(plane > low - half) & (plane < high + half)] = AIR_HU
    return None
