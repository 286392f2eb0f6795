"""Register a pair with another tool; runs in the environment of requirements-benchmark.txt, without the bundle.

HU are clipped to `WINDOW_HU`, air becomes zero, seeds are fixed where there is one. elastix and ANTs
compare inside the fixed lung mask if the pair has one; convexAdam, whose masks must have even sides, goes without.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import fire
import itk
import numpy as np

WINDOW_HU = (-1000.0, 200.0)

# Translation, affine, then a B-spline of 10 mm between control points; elastix's own defaults otherwise, but for the
# erosion of the mask: by the reach of the coarsest smoothing, it leaves nothing of a lung on 2 mm voxels.
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
ANTS_SETTINGS = {"type_of_transform": "SyN"}  # affine, then SyN; antspyx's own defaults otherwise
ANTS_SEED = 1
CONVEXADAM_SETTINGS: dict[str, Any] = {}  # MIND features; its own defaults, after the scans' centres are aligned


def register(tool: str, fixed: str, moving: str, out: str, fixed_mask: str | None = None) -> None:
    """Register MOVING to FIXED with TOOL and write OUT/displacement.nii.gz: ITK vectors, LPS mm, on the fixed grid.

    Args:
        tool: elastix, ants or convexadam.
        fixed: the scan whose grid carries the result; NIfTI, MHA/MHD or NRRD.
        moving: the scan that is warped.
        out: folder for the result, made if missing.
        fixed_mask: lung mask of FIXED.
    """
    if tool not in TOOLS:
        raise ValueError(f"tool: expected one of {', '.join(TOOLS)}, got {tool!r}")
    scans = read_scan(fixed), read_scan(moving)
    mask = None if fixed_mask is None else itk.imread(fixed_mask, itk.UC)
    write_displacement(Path(out) / "displacement.nii.gz", TOOLS[tool](*scans, mask), scans[0])


def read_scan(path: str) -> itk.Image:
    """Scan as float32, clipped to `WINDOW_HU`, lowest value 0: what centres of mass and padding with zeros expect."""
    image = itk.imread(path, itk.F)
    clipped = np.clip(itk.array_from_image(image), *WINDOW_HU) - WINDOW_HU[0]
    return _image_like(image, clipped.astype(np.float32))


def write_displacement(path: Path, vectors_mm: np.ndarray, fixed: itk.Image) -> None:
    """Write LPS vectors (z, y, x, 3) on the grid of `fixed`, under a temporary name first."""
    path.parent.mkdir(parents=True, exist_ok=True)
    expected = (*itk.array_view_from_image(fixed).shape, 3)
    if vectors_mm.shape != expected:
        raise RuntimeError(f"{path}: expected vectors {expected} on the fixed grid, got {vectors_mm.shape}")
    temporary = path.with_name(f".{path.name}")
    itk.imwrite(_image_like(fixed, vectors_mm.astype(np.float32), is_vector=True), str(temporary), compression=True)
    os.replace(temporary, path)


def run_elastix(fixed: itk.Image, moving: itk.Image, fixed_mask: itk.Image | None) -> np.ndarray:
    """LPS vectors (z, y, x, 3) found by elastix."""
    parameters = itk.ParameterObject.New()
    for stage in ELASTIX_STAGES:
        stage_map = parameters.GetDefaultParameterMap(stage, ELASTIX_RESOLUTIONS, ELASTIX_GRID_MM)
        settings = ELASTIX_SETTINGS | (ELASTIX_BSPLINE_SETTINGS if stage == "bspline" else {})
        for key, value in settings.items():
            stage_map[key] = value
        parameters.AddParameterMap(stage_map)
    mask = {} if fixed_mask is None else {"fixed_mask": fixed_mask}
    _, found = itk.elastix_registration_method(fixed, moving, parameter_object=parameters, log_to_console=True, **mask)
    with tempfile.TemporaryDirectory() as folder:  # it would write a copy into the working folder
        return itk.array_from_image(itk.transformix_deformation_field(moving, found, output_directory=folder))


def run_ants(fixed: itk.Image, moving: itk.Image, fixed_mask: itk.Image | None) -> np.ndarray:
    """LPS vectors (z, y, x, 3) found by ANTs' SyN, with its affine."""
    import ants  # each tool is loaded by its own run only: seconds and memory count

    ants.config.set_ants_deterministic(False, seed_value=ANTS_SEED)  # "deterministic" would also mean one thread
    scans = _to_ants(fixed), _to_ants(moving)
    mask = None if fixed_mask is None else _to_ants(fixed_mask)
    with tempfile.TemporaryDirectory() as folder:
        found = ants.registration(*scans, mask=mask, outprefix=f"{folder}/", **ANTS_SETTINGS)
        field = ants.apply_transforms(*scans, found["fwdtransforms"], compose=f"{folder}/composed_")
        return itk.array_from_image(itk.imread(field, itk.Vector[itk.F, 3]))  # stored as double, which itk lacks


def run_convexadam(fixed: itk.Image, moving: itk.Image, fixed_mask: itk.Image | None) -> np.ndarray:
    """LPS vectors (z, y, x, 3) found by convexAdam on the fixed grid, from centred scans on."""
    from convexAdam.convex_adam_MIND import convex_adam_pt

    shift_mm = _centre_mm(moving) - _centre_mm(fixed)
    translation = itk.TranslationTransform[itk.D, 3].New()
    translation.SetOffset(shift_mm.tolist())
    centred = itk.resample_image_filter(moving, transform=translation, use_reference_image=True, reference_image=fixed)
    arrays = [np.ascontiguousarray(itk.array_view_from_image(image).T) for image in (fixed, centred)]
    found_vox = convex_adam_pt(*arrays, **CONVEXADAM_SETTINGS)  # (x, y, z, 3), voxels along the axes of the grid
    return (found_vox @ _axes_mm(fixed).T + shift_mm).transpose(2, 1, 0, 3)


def _axes_mm(image: itk.Image) -> np.ndarray:
    """Steps of one voxel along each axis as columns (3, 3), LPS mm."""
    return itk.array_from_matrix(image.GetDirection()) * np.asarray(image.GetSpacing())


def _centre_mm(image: itk.Image) -> np.ndarray:
    middle = (np.asarray(image.GetLargestPossibleRegion().GetSize()) - 1) / 2
    return np.asarray(image.GetOrigin()) + _axes_mm(image) @ middle


def _to_ants(image: itk.Image) -> Any:
    import ants

    return ants.from_numpy(
        np.ascontiguousarray(itk.array_view_from_image(image).T.astype(np.float32)),
        origin=tuple(image.GetOrigin()),
        spacing=tuple(image.GetSpacing()),
        direction=itk.array_from_matrix(image.GetDirection()),
    )


def _image_like(grid: itk.Image, values: np.ndarray, *, is_vector: bool = False) -> itk.Image:
    image = itk.image_from_array(np.ascontiguousarray(values), is_vector=is_vector)
    image.SetOrigin(grid.GetOrigin())  # CopyInformation would take the number of components, too
    image.SetSpacing(grid.GetSpacing())
    image.SetDirection(grid.GetDirection())
    return image


Tool = Callable[[itk.Image, itk.Image, "itk.Image | None"], np.ndarray]
TOOLS: dict[str, Tool] = {"elastix": run_elastix, "ants": run_ants, "convexadam": run_convexadam}

if __name__ == "__main__":
    fire.Fire(register)
