from bundle.networks.cost_volume import CostVolume, normalize_features
from bundle.networks.feature_pyramid import FeaturePyramid
from bundle.networks.field_estimator import FieldEstimator
from bundle.networks.final_estimator import FinalEstimator
from bundle.networks.levels import estimate_levels
from bundle.networks.rrn import RRN

__all__ = [
    "RRN",
    "CostVolume",
    "FeaturePyramid",
    "FieldEstimator",
    "FinalEstimator",
    "estimate_levels",
    "normalize_features",
]
