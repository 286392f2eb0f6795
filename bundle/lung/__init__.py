"""Lung segmentation of a chest CT."""

from bundle.lung.region import LungRegiond
from bundle.lung.segmentation import find_lungs

__all__ = ["LungRegiond", "find_lungs"]
