"""Landmark files of DIR-Lab, elastix, transformix, 3D Slicer, ANTs, and tables of numbers."""

from bundle.io.landmarks.points import Landmarks, Names, check_landmark_pair, names_from_json
from bundle.io.landmarks.read import read_landmarks, read_landmarks_mm
from bundle.io.landmarks.system import SYSTEMS, LandmarkSystem, check_system
from bundle.io.landmarks.write import write_landmarks_csv, write_landmarks_slicer

__all__ = [
    "SYSTEMS",
    "LandmarkSystem",
    "Landmarks",
    "Names",
    "check_landmark_pair",
    "check_system",
    "names_from_json",
    "read_landmarks",
    "read_landmarks_mm",
    "write_landmarks_csv",
    "write_landmarks_slicer",
]
