from bundle.io.atomic import atomic_path
from bundle.io.displacement import read_displacement, write_displacement
from bundle.io.headers import ImageHeader, check_header, check_mask, itk_from_affine, set_itk_grid
from bundle.io.images import ScanReader, check_scan, content_sha256, read_image, write_image
from bundle.io.landmarks import check_landmark_pair, read_landmarks_mm, write_landmarks_csv, write_landmarks_slicer
from bundle.io.linear_transform import read_linear_transform
from bundle.io.recipe import Recipe, check_weights, read_recipe, recipe_path, weights_sha256, write_recipe
from bundle.io.transform_file import invert_transform, itk_transform, read_transform, write_transform

__all__ = [
    "ImageHeader",
    "Recipe",
    "ScanReader",
    "atomic_path",
    "check_header",
    "check_landmark_pair",
    "check_mask",
    "check_scan",
    "check_weights",
    "content_sha256",
    "invert_transform",
    "itk_from_affine",
    "itk_transform",
    "read_displacement",
    "read_image",
    "read_landmarks_mm",
    "read_linear_transform",
    "read_recipe",
    "read_transform",
    "recipe_path",
    "set_itk_grid",
    "weights_sha256",
    "write_displacement",
    "write_image",
    "write_landmarks_csv",
    "write_landmarks_slicer",
    "write_recipe",
    "write_transform",
]
