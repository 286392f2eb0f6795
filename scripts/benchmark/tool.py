"""Register a pair with another tool; runs in the environment of requirements-benchmark.txt, without the bundle.

HU are clipped to `WINDOW_HU` and shifted so that air is zero; seeds are fixed. elastix and ANTs use the fixed lung mask
if the pair has one; convexAdam runs without, because it requires masks with even sides.
"""

from __future__ import annotations

import os
import re
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import fire
import numpy as np

if TYPE_CHECKING:
    import itk

WINDOW_HU = (-1000.0, 200.0)

# Translation, affine, B-spline with 10 mm control point spacing; otherwise elastix's defaults, except mask erosion: it
# erodes by the support of the coarsest smoothing, which removes the whole lung at 2 mm voxels.
ELASTIX_STAGES = ("translation", "affine", "bspline")
ELASTIX_RESOLUTIONS = 4
ELASTIX_GRID_MM = 10.0
ELASTIX_SETTINGS = {
    "AutomaticTransformInitialization": ["true"],
    "AutomaticTransformInitializationMethod": ["GeometricalCenter"],
    "ErodeFixedMask": ["false"],
    "RandomSeed": ["1"],
    "WriteResultImage": ["false"],
}
ELASTIX_BSPLINE_SETTINGS = {
    "MaximumNumberOfIterations": ["500"],
    "NumberOfSpatialSamples": ["4096"],
}
ANTS_SETTINGS = {"type_of_transform": "SyN"}  # affine, then SyN; otherwise antspyx's defaults
ANTS_SEED = 1
CONVEXADAM_SETTINGS: dict[str, Any] = {}  # MIND features; defaults, after the scans' centres are aligned


def register(tool: str, fixed: str, moving: str, output_dir: str, fixed_mask: str | None = None) -> None:
    """Register MOVING to FIXED with TOOL; write OUTPUT_DIR/displacement.nii.gz: ITK vectors, LPS mm, on the fixed grid.

    Args:
        tool: elastix, ants or convexadam.
        fixed: the scan whose grid the field is sampled on; NIfTI, MHA/MHD or NRRD.
        moving: the scan that is warped.
        output_dir: folder for the result, created if missing.
        fixed_mask: lung mask of FIXED.
    """
    import itk

    if tool not in TOOLS:
        raise ValueError(f"tool: expected one of {', '.join(TOOLS)}, got {tool!r}")
    scans = read_scan(fixed), read_scan(moving)
    mask = None if fixed_mask is None else itk.imread(fixed_mask, itk.UC)
    write_displacement(Path(output_dir) / "displacement.nii.gz", TOOLS[tool](*scans, mask), scans[0])


def read_scan(path: str) -> itk.Image:
    """Read a scan as float32, clipped to `WINDOW_HU`, air at 0 as centres of mass and zero padding require."""
    import itk

    image = itk.imread(path, itk.F)
    clipped = np.clip(itk.array_from_image(image), *WINDOW_HU) - WINDOW_HU[0]
    return _image_like(image, clipped.astype(np.float32))


def write_displacement(path: Path, vectors_mm: np.ndarray, fixed: itk.Image) -> None:
    """Write LPS vectors (z, y, x, 3) on the grid of `fixed`, atomically. Raises: RuntimeError for another shape."""
    import itk

    path.parent.mkdir(parents=True, exist_ok=True)
    expected = (*itk.array_view_from_image(fixed).shape, 3)
    if vectors_mm.shape != expected:
        raise RuntimeError(f"{path}: expected vectors {expected} on the fixed grid, got {vectors_mm.shape}")
    temporary = path.with_name(f".{path.name}")
    itk.imwrite(_image_like(fixed, vectors_mm.astype(np.float32), is_vector=True), str(temporary), compression=True)
    os.replace(temporary, path)


def run_elastix(fixed: itk.Image, moving: itk.Image, fixed_mask: itk.Image | None) -> np.ndarray:
    """Register with elastix; return LPS vectors (z, y, x, 3), mm."""
    import itk

    parameters = itk.ParameterObject.New()
    for stage in ELASTIX_STAGES:
        stage_map = parameters.GetDefaultParameterMap(stage, ELASTIX_RESOLUTIONS, ELASTIX_GRID_MM)
        settings = ELASTIX_SETTINGS | (ELASTIX_BSPLINE_SETTINGS if stage == "bspline" else {})
        for key, value in settings.items():
            stage_map[key] = value
        parameters.AddParameterMap(stage_map)
    mask = {} if fixed_mask is None else {"fixed_mask": fixed_mask}
    _, found = itk.elastix_registration_method(fixed, moving, parameter_object=parameters, log_to_console=True, **mask)
    with tempfile.TemporaryDirectory() as folder:  # otherwise a copy is written to the working folder
        return itk.array_from_image(itk.transformix_deformation_field(moving, found, output_directory=folder))


def run_ants(fixed: itk.Image, moving: itk.Image, fixed_mask: itk.Image | None) -> np.ndarray:
    """Register with ANTs: affine, then SyN; return LPS vectors (z, y, x, 3), mm."""
    import ants  # each run imports its own tool only: time and memory are measured
    import itk

    ants.config.set_ants_deterministic(False, seed_value=ANTS_SEED)  # "deterministic" would limit ANTs to one thread
    scans = _to_ants(fixed), _to_ants(moving)
    mask = None if fixed_mask is None else _to_ants(fixed_mask)
    with tempfile.TemporaryDirectory() as folder:
        found = ants.registration(*scans, mask=mask, outprefix=f"{folder}/", **ANTS_SETTINGS)
        field = ants.apply_transforms(*scans, found["fwdtransforms"], compose=f"{folder}/composed_")
        return itk.array_from_image(itk.imread(field, itk.Vector[itk.F, 3]))  # stored as double, not wrapped by itk


def run_convexadam(fixed: itk.Image, moving: itk.Image, fixed_mask: itk.Image | None) -> np.ndarray:
    """Align the scans' centres, register with convexAdam on the fixed grid; return LPS vectors (z, y, x, 3), mm."""
    import itk
    from convexAdam.convex_adam_MIND import convex_adam_pt

    shift_mm = _centre_mm(moving) - _centre_mm(fixed)
    translation = itk.TranslationTransform[itk.D, 3].New()
    translation.SetOffset(shift_mm.tolist())
    centred = itk.resample_image_filter(moving, transform=translation, use_reference_image=True, reference_image=fixed)
    arrays = [np.ascontiguousarray(itk.array_view_from_image(image).T) for image in (fixed, centred)]
    found_vox = convex_adam_pt(*arrays, **CONVEXADAM_SETTINGS)  # (x, y, z, 3), voxels along the axes of the grid
    return (found_vox @ _axes_mm(fixed).T + shift_mm).transpose(2, 1, 0, 3)


def _axes_mm(image: itk.Image) -> np.ndarray:
    """Columns (3, 3): one voxel step along each axis, LPS mm."""
    import itk

    return itk.array_from_matrix(image.GetDirection()) * np.asarray(image.GetSpacing())


def _centre_mm(image: itk.Image) -> np.ndarray:
    middle = (np.asarray(image.GetLargestPossibleRegion().GetSize()) - 1) / 2
    return np.asarray(image.GetOrigin()) + _axes_mm(image) @ middle


def _to_ants(image: itk.Image) -> Any:
    import ants
    import itk

    return ants.from_numpy(
        np.ascontiguousarray(itk.array_view_from_image(image).T.astype(np.float32)),
        origin=tuple(image.GetOrigin()),
        spacing=tuple(image.GetSpacing()),
        direction=itk.array_from_matrix(image.GetDirection()),
    )


def _image_like(grid: itk.Image, values: np.ndarray, *, is_vector: bool = False) -> itk.Image:
    import itk

    image = itk.image_from_array(np.ascontiguousarray(values), is_vector=is_vector)
    image.SetOrigin(grid.GetOrigin())  # CopyInformation would also copy the number of components
    image.SetSpacing(grid.GetSpacing())
    image.SetDirection(grid.GetDirection())
    return image


TOOLS = {"elastix": run_elastix, "ants": run_ants, "convexadam": run_convexadam}

if __name__ == "__main__":
    # the former name of an option still works; scripts.cli is not available in this environment
    fire.Fire(register, [re.sub(r"^--out(?=$|=)", "--output_dir", word) for word in sys.argv[1:]])
