"""Metrics of a registration."""

from .contours import ContourAgreement, contour_agreement
from .jacobian import JacobianMetric, folding_percent, sd_log_jacobian
from .landmark_error import landmark_rms_error_mm
from .lncc import LNCCMetric
from .tre import TargetRegistrationErrorMetric, TRESummary, compute_tre_mm, snap_to_grid_mm, summarize_tre

__all__ = [
    "ContourAgreement",
    "JacobianMetric",
    "LNCCMetric",
    "TRESummary",
    "TargetRegistrationErrorMetric",
    "compute_tre_mm",
    "contour_agreement",
    "folding_percent",
    "landmark_rms_error_mm",
    "sd_log_jacobian",
    "snap_to_grid_mm",
    "summarize_tre",
]
