"""From two scans to the network's input, and from its field back to the scans."""

from bundle.transforms.alignment import InitialAlignmentd, align_lungs
from bundle.transforms.apply_ddf import (
    MapLandmarksd,
    ResultsOnNativeGridsd,
    ResultsOnNetworkGridd,
    warp_to_fixed,
    world_transform,
)
from bundle.transforms.check_scan import CheckScand
from bundle.transforms.coarsen import coarsen
from bundle.transforms.known_field import KnownFieldd
from bundle.transforms.lung_motion import MotionParameters, draw_motion
from bundle.transforms.lung_region import LungRegiond, find_lungs
from bundle.transforms.network_grid import NetworkGridd, put_on_grid
from bundle.transforms.rand_deform_pair import RandDeformPaird
from bundle.transforms.rand_simulate_motion import RandSimulateMotiond
from bundle.transforms.read_pair import ReadInitialTransformd, ReadLandmarksd
from bundle.transforms.simulate_motion import SimulateMotiond, simulate_motion
from bundle.transforms.timed_compose import TimedCompose

__all__ = [
    "CheckScand",
    "InitialAlignmentd",
    "KnownFieldd",
    "LungRegiond",
    "MapLandmarksd",
    "MotionParameters",
    "NetworkGridd",
    "RandDeformPaird",
    "RandSimulateMotiond",
    "ReadInitialTransformd",
    "ReadLandmarksd",
    "ResultsOnNativeGridsd",
    "ResultsOnNetworkGridd",
    "SimulateMotiond",
    "TimedCompose",
    "align_lungs",
    "coarsen",
    "draw_motion",
    "find_lungs",
    "put_on_grid",
    "simulate_motion",
    "warp_to_fixed",
    "world_transform",
]
