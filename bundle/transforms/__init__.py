"""From two scans to the network's input, and from its field to results on the scans' own grids."""

from bundle.transforms.alignment import InitialAlignmentd, ReadInitialTransformd, align_lungs
from bundle.transforms.check_scan import CheckScand
from bundle.transforms.content_hash import ContentHashd
from bundle.transforms.fit_masks import FitMasksd
from bundle.transforms.ground_truth_field import GroundTruthFieldd
from bundle.transforms.landmarks import MapLandmarksd, ReadLandmarksd
from bundle.transforms.load_image_series import LoadImageSeriesd
from bundle.transforms.network_grid import NetworkGridd, put_on_grid
from bundle.transforms.results import (
    ResultsOnNativeGridsd,
    ResultsOnNetworkGridd,
    as_int16,
    jacobian_on_grid,
    warp_to_fixed,
)
from bundle.transforms.timed_compose import TimedCompose
from bundle.transforms.world_transform import inverse_transform, world_transform

__all__ = [
    "CheckScand",
    "ContentHashd",
    "FitMasksd",
    "GroundTruthFieldd",
    "InitialAlignmentd",
    "LoadImageSeriesd",
    "MapLandmarksd",
    "NetworkGridd",
    "ReadInitialTransformd",
    "ReadLandmarksd",
    "ResultsOnNativeGridsd",
    "ResultsOnNetworkGridd",
    "TimedCompose",
    "align_lungs",
    "as_int16",
    "inverse_transform",
    "jacobian_on_grid",
    "put_on_grid",
    "warp_to_fixed",
    "world_transform",
]
