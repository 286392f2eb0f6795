"""Lung segmentation of a chest CT."""

from bundle.lung.region import LungRegiond
from bundle.lung.segmentation import find_lungs
from bundle.lung.volume import volume_ml, voxel_ml

__all__ = ["LungRegiond", "find_lungs", "volume_ml", "voxel_ml"]
