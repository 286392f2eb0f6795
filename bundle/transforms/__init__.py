"""From two scans to the network's input, and from its field back to the scans."""

from bundle.transforms.alignment import InitialAlignmentd, align_lungs
from bundle.transforms.apply_ddf import MapLandmarksd, ResultsOnNativeGridsd, ResultsOnNetworkGridd, warp_to_fixed
from bundle.transforms.check_scan import CheckScand
from bundle.transforms.coarsen import coarsen
from bundle.transforms.lung_region import LungRegiond, find_lungs
from bundle.transforms.network_grid import NetworkGridd, put_on_grid
from bundle.transforms.read_pair import ReadInitialTransformd, ReadLandmarksd
from bundle.transforms.timed_compose import TimedCompose

__all__ = [
    "CheckScand",
    "InitialAlignmentd",
    "LungRegiond",
    "MapLandmarksd",
    "NetworkGridd",
    "ReadInitialTransformd",
    "ReadLandmarksd",
    "ResultsOnNativeGridsd",
    "ResultsOnNetworkGridd",
    "TimedCompose",
    "align_lungs",
    "coarsen",
    "find_lungs",
    "put_on_grid",
    "warp_to_fixed",
]
