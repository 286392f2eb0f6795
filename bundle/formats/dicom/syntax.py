"""Transfer syntaxes: how the pixels of a DICOM file are compressed."""

from __future__ import annotations

from pydicom.uid import UID

UNCOMPRESSED = (
    "",  # of old files without a preamble
    "1.2.840.10008.1.2",  # implicit, explicit, big endian, deflated
    "1.2.840.10008.1.2.1",
    "1.2.840.10008.1.2.2",
    "1.2.840.10008.1.2.1.99",
)
COMPRESSED = (
    "1.2.840.10008.1.2.4.50",  # JPEG
    "1.2.840.10008.1.2.4.51",
    "1.2.840.10008.1.2.4.57",
    "1.2.840.10008.1.2.4.70",
    "1.2.840.10008.1.2.4.80",  # JPEG-LS
    "1.2.840.10008.1.2.4.81",
    "1.2.840.10008.1.2.4.90",  # JPEG 2000
    "1.2.840.10008.1.2.4.91",
    "1.2.840.10008.1.2.5",  # RLE
)  # what the GDCM of ITK 5.4.7 decodes
HIGH_THROUGHPUT = ("1.2.840.10008.1.2.4.201", "1.2.840.10008.1.2.4.202", "1.2.840.10008.1.2.4.203")  # JPEG 2000


def is_decoded_by_gdcm(syntax: str) -> bool:
    """Whether GDCM decodes the pixels, else pydicom does."""
    return syntax in COMPRESSED


def check_syntax(file: str, syntax: str) -> None:
    """Raises: ValueError naming the file and its transfer syntax if its pixels cannot be decoded."""
    if syntax in UNCOMPRESSED or syntax in COMPRESSED:
        return
    tool = "Dataset.decompress of pydicom with pylibjpeg-openjpeg" if syntax in HIGH_THROUGHPUT else "gdcmconv --raw"
    raise ValueError(
        f"{file}: pixels in transfer syntax {syntax_name(syntax)} cannot be decoded: expected none or deflated, "
        f"RLE, JPEG, JPEG-LS or JPEG 2000 compression; convert the series first, e.g. with {tool}"
    )


def syntax_name(syntax: str) -> str:
    """UID and name of a transfer syntax."""
    name = UID(syntax).name
    return syntax if name == syntax else f"{syntax} ({name})"
