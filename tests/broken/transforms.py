"""Broken transform files."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

import SimpleITK as sitk

from tests.broken.case import Collection

TFM = """#Insight Transform File V1.0
#Transform 0
Transform: {kind}
Parameters: {parameters}
FixedParameters: 0 0 0
"""
AFFINE = "AffineTransform_double_3_3"
IDENTITY = "1 0 0 0 1 0 0 0 1 0 0 0"


def nonlinear() -> dict[str, sitk.Transform]:
    """Transforms that are no initial transform."""
    field = sitk.DisplacementFieldTransform(sitk.Image([4, 5, 6], sitk.sitkVectorFloat64))
    spline = sitk.BSplineTransformInitializer(sitk.Image([8, 9, 10], sitk.sitkFloat32), [2, 2, 2])
    composite = sitk.CompositeTransform([sitk.AffineTransform(3), spline])
    return {"a displacement field": field, "a B-spline": spline, "a composite with a B-spline": composite}


def written(transform: sitk.Transform, suffix: str) -> bytes:
    """A transform as a file of another program."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / f"transform{suffix}"
        sitk.WriteTransform(transform, str(path))
        return path.read_bytes()


def add_transforms(to: Collection) -> None:
    """Text and binary files that are cut, of other kinds and of other dimensions."""
    texts = {
        "empty": "",
        "text": "this is no transform",
        "only a magic line": "#Insight Transform File V1.0\n",
        "an unknown kind": TFM.format(kind="MagicTransform_double_3_3", parameters=IDENTITY),
        "two dimensions": TFM.format(kind="AffineTransform_double_2_2", parameters="1 0 0 1 0 0"),
        "too few numbers": TFM.format(kind=AFFINE, parameters="1 0 0"),
        "words": TFM.format(kind=AFFINE, parameters="a b c d e f g h i j k l"),
        "nan": TFM.format(kind=AFFINE, parameters=IDENTITY.replace("1", "nan")),
        "inf": TFM.format(kind=AFFINE, parameters="1 0 0 0 1 0 0 0 1 inf 0 0"),
        "singular": TFM.format(kind=AFFINE, parameters="0 0 0 0 0 0 0 0 0 0 0 0"),
    }
    for name, text in texts.items():
        to.add(f"transform: {name}", "transform", "initial.tfm", text)
    to.add("transform: text as HDF5", "transform", "initial.h5", "this is no transform")
    to.add("transform: text as mat", "transform", "initial.mat", "this is no transform")
    to.add("transform: zeros as mat", "transform", "initial.mat", bytes(300))
    to.add("transform: of an unknown kind", "transform", "initial.xyz", "1 0 0 0")
    to.add_path("no transform", "transform", to.folder / "none.tfm")
    for name, transform in nonlinear().items():
        for suffix in (".tfm", ".h5"):
            to.add(f"transform: {name}", "transform", f"initial{suffix}", written(transform, suffix))
    affine = sitk.AffineTransform(3)
    for suffix, cuts in ((".h5", (0, 1, 100, 500, -1000, -1)), (".mat", (0, 1, 20, 40, 143, -20, -1))):
        whole = written(affine, suffix)
        for cut in cuts:
            to.add(f"transform: {suffix} cut at byte {cut}", "transform", f"initial{suffix}", whole[:cut])
            to.add(f"any transform: {suffix} cut at byte {cut}", "any transform", f"result{suffix}", whole[:cut])
    field = written(nonlinear()["a displacement field"], ".h5")
    for cut in (600, len(field) // 2, -1000, -1):
        to.add(f"any transform: field cut at byte {cut}", "any transform", "result.h5", field[:cut])
    for name in ("empty", "text", "an unknown kind", "two dimensions", "too few numbers", "words"):
        to.add(f"any transform: {name}", "any transform", "result.tfm", texts[name])
    two = TFM.format(kind=AFFINE, parameters=IDENTITY)
    two += two.partition("\n")[2].replace("#Transform 0", "#Transform 1")
    to.add("any transform: two without a composite", "any transform", "result.tfm", two)
