from bundle.io.atomic import atomic_path, check_writable, make_folder
from bundle.io.displacement import read_displacement, write_displacement
from bundle.io.field_transform import extend, field_of, invert_transform, outside_fields, transform_points
from bundle.io.headers import ImageHeader, check_header, itk_from_affine, set_itk_grid
from bundle.io.images import ScanReader, check_scan, compact, content_sha256, read_image, write_image
from bundle.io.landmarks import (
    SYSTEMS,
    Landmarks,
    LandmarkSystem,
    Names,
    check_landmark_pair,
    check_system,
    names_from_json,
    read_landmarks,
    read_landmarks_mm,
    write_landmarks_csv,
    write_landmarks_slicer,
)
from bundle.io.linear_transform import read_linear_transform
from bundle.io.masks import check_mask, check_mask_file, check_whole_numbers, fit_mask, read_labels, read_mask
from bundle.io.recipe import Recipe, check_weights, read_recipe, recipe_path, weights_sha256, write_recipe
from bundle.io.transform_file import itk_transform, read_transform, write_transform

__all__ = [
    "SYSTEMS",
    "ImageHeader",
    "LandmarkSystem",
    "Landmarks",
    "Names",
    "Recipe",
    "ScanReader",
    "atomic_path",
    "check_header",
    "check_landmark_pair",
    "check_mask",
    "check_mask_file",
    "check_scan",
    "check_system",
    "check_weights",
    "check_whole_numbers",
    "check_writable",
    "compact",
    "content_sha256",
    "extend",
    "field_of",
    "fit_mask",
    "invert_transform",
    "itk_from_affine",
    "itk_transform",
    "make_folder",
    "names_from_json",
    "outside_fields",
    "read_displacement",
    "read_image",
    "read_labels",
    "read_landmarks",
    "read_landmarks_mm",
    "read_linear_transform",
    "read_mask",
    "read_recipe",
    "read_transform",
    "recipe_path",
    "set_itk_grid",
    "transform_points",
    "weights_sha256",
    "write_displacement",
    "write_image",
    "write_landmarks_csv",
    "write_landmarks_slicer",
    "write_recipe",
    "write_transform",
]
