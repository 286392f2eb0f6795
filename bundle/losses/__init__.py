from bundle.losses.ground_truth_field import GroundTruthFieldLoss
from bundle.losses.local_cross_correlation import LocalCrossCorrelationLoss
from bundle.losses.registration_loss import RegistrationLoss
from bundle.losses.total_variation import TotalVariationLoss

__all__ = ["GroundTruthFieldLoss", "LocalCrossCorrelationLoss", "RegistrationLoss", "TotalVariationLoss"]
