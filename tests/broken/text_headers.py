"""Broken MetaImage and NRRD files."""

from __future__ import annotations

import zlib

import numpy as np

from tests.broken.case import SHAPE, Collection

META = {
    "ObjectType": "Image",
    "NDims": "3",
    "BinaryData": "True",
    "BinaryDataByteOrderMSB": "False",
    "CompressedData": "False",
    "TransformMatrix": "1 0 0 0 1 0 0 0 1",
    "Offset": "0 0 0",
    "ElementSpacing": "0.7 1.1 2.5",
    "DimSize": "8 9 10",
    "ElementType": "MET_SHORT",
    "ElementDataFile": "LOCAL",
}
NRRD = {
    "type": "short",
    "dimension": "3",
    "space": "left-posterior-superior",
    "sizes": "8 9 10",
    "space directions": "(0.7,0,0) (0,1.1,0) (0,0,2.5)",
    "kinds": "domain domain domain",
    "endian": "little",
    "encoding": "raw",
    "space origin": "(0,0,0)",
}
BAD_META = {
    "NDims": ["0", "1", "2", "4", "99", "-3", "three", "3 3", "1e9", "nan"],
    "DimSize": [
        "0 9 10",
        "8 9",
        "-8 9 10",
        "8 9 1",
        "x y z",
        "99999 99999 99999",
        "1e300 9 10",
        "8.5 9 10",
        "inf 9 10",
    ],
    "ElementSpacing": ["0 1 1", "-1 1 1", "inf 1 1", "nan 1 1", "1 1", "1e-30 1 1", "1e30 1 1", "a b c"],
    "TransformMatrix": ["1 0.3 0 0 1 0 0 0 1", "0 0 0 0 0 0 0 0 0", "nan 0 0 0 1 0 0 0 1", "1 0 0 0 1 0 0 0", "a"],
    "Offset": ["nan 0 0", "inf 0 0", "0 0", "x"],
    "ElementType": ["MET_OTHER", "MET_STRING", "int16", "MET_NONE"],
    "ElementNumberOfChannels": ["3", "0", "-1", "many"],
    "CompressedData": ["True"],
    "CompressedDataSize": ["x"],
    "ElementDataFile": ["LIST", "slice%03d.raw 1 10 1", "none.raw", "/none/none.raw"],
    "DistanceUnits": ["furlong"],
}
BAD_NRRD = {
    "type": ["block", "int17", "float16"],
    "dimension": ["0", "2", "4", "99", "-3", "three"],
    "sizes": ["0 9 10", "8 9", "-8 9 10", "8 9 1", "x y z", "99999 99999 99999", "8.5 9 10"],
    "space directions": [
        "(0,0,0) (0,1,0) (0,0,1)",
        "(nan,0,0) (0,1,0) (0,0,1)",
        "(inf,0,0) (0,1,0) (0,0,1)",
        "(1,0.3,0) (0,1,0) (0,0,1)",
        "(1,0,0) (0,1,0)",
        "(1,0) (0,1) (1,1)",
        "(1e30,0,0) (0,1,0) (0,0,1)",
        "x",
    ],
    "space origin": ["(nan,0,0)", "(0,0)", "x"],
    "encoding": ["zip", "gzip", "raw?"],
    "space units": ['"furlong" "furlong" "furlong"', '"mm" "um" "mm"'],
    "data file": ["none.raw", "LIST", "slice%03d.raw 1 10 1"],
}


def meta_text(fields: dict[str, str]) -> bytes:
    return "".join(f"{key} = {value}\n" for key, value in fields.items()).encode()


def nrrd_text(fields: dict[str, str]) -> bytes:
    return b"NRRD0005\n" + "".join(f"{key}: {value}\n" for key, value in fields.items()).encode() + b"\n"


def add_text_headers(to: Collection) -> None:
    """Headers cut at every line, fields left out or out of order, damaged streams."""
    voxels = np.random.default_rng(0).integers(-1000, 500, SHAPE).astype("<i2").tobytes()
    for number in range(len(META)):
        lines = dict(list(META.items())[:number])
        to.add(f"mha cut before {list(META)[number]}", "image", "scan.mha", meta_text(lines))
    for field in ("NDims", "DimSize", "ElementType", "ElementDataFile"):
        to.add(f"mha without {field}", "image", "scan.mha", meta_text(_without(META, field)) + voxels)
    for field, values in BAD_META.items():
        for value in values:
            fields = _with(META, field, value, last="ElementDataFile")
            to.add(f"mha {field} {value}", "image", "scan.mha", meta_text(fields) + voxels)
    to.add("mha cut short", "image", "scan.mha", meta_text(META) + voxels[:-2])
    to.add("mha of random bytes", "image", "scan.mha", np.random.default_rng(2).bytes(3000))
    to.add("mha with one long line", "image", "scan.mha", b"x" * 3_000_000)
    detached = meta_text({**META, "ElementDataFile": "scan.raw"})
    to.add("mhd with short data", "image", "scan.mhd", detached, mentions="scan.raw", scan_raw=b"12")
    packed = zlib.compress(voxels)
    fields = _with({**META, "CompressedData": "True"}, "CompressedDataSize", str(len(packed)), last="ElementDataFile")
    longer = {**fields, "CompressedDataSize": "99999999"}
    to.add("mha, packed, of another size", "image", "scan.mha", meta_text(longer) + packed)
    for name, data in (("cut", packed[:-20] + bytes(20)), ("damaged", packed[:600] + b"xxxx" + packed[604:])):
        to.add(f"mha, packed, {name}", "image", "scan.mha", meta_text(fields) + data)

    for number in range(len(NRRD)):
        lines = dict(list(NRRD.items())[:number])
        to.add(f"nrrd cut before {list(NRRD)[number]}", "image", "scan.nrrd", nrrd_text(lines)[:-1])
    for field in ("type", "dimension", "sizes", "encoding"):
        to.add(f"nrrd without {field}", "image", "scan.nrrd", nrrd_text(_without(NRRD, field)) + voxels)
    for field, values in BAD_NRRD.items():
        for value in values:
            to.add(f"nrrd {field} {value}", "image", "scan.nrrd", nrrd_text({**NRRD, field: value}) + voxels)
    to.add("nrrd cut short", "image", "scan.nrrd", nrrd_text(NRRD) + voxels[:-2])
    to.add("nrrd with another magic", "image", "scan.nrrd", b"NRRX" + nrrd_text(NRRD)[4:] + voxels)
    to.add("nrrd of random bytes", "image", "scan.nrrd", np.random.default_rng(3).bytes(3000))
    rgb = {**NRRD, "dimension": "4", "sizes": "3 8 9 10", "kinds": "RGB-color domain domain domain"}
    rgb["space directions"] = "none " + NRRD["space directions"]
    to.add("nrrd rgb", "image", "scan.nrrd", nrrd_text(rgb) + voxels * 3)
    to.add(
        "nrrd complex",
        "image",
        "scan.nrrd",
        nrrd_text({**rgb, "sizes": "2 8 9 10", "kinds": "complex domain domain domain"}) + voxels * 2,
    )


def _without(fields: dict[str, str], field: str) -> dict[str, str]:
    return {key: value for key, value in fields.items() if key != field}


def _with(fields: dict[str, str], field: str, value: str, *, last: str) -> dict[str, str]:
    """With another value; `last` stays the last field."""
    changed = {**_without(fields, last), last: fields[last]}
    return {**_without(changed, last), field: value, last: fields[last]} if field != last else {**changed, last: value}
