from bundle.losses.known_field import KnownFieldLoss
from bundle.losses.local_cross_correlation import LocalCrossCorrelationLoss
from bundle.losses.registration_loss import RegistrationLoss
from bundle.losses.total_variation import TotalVariationLoss

__all__ = ["KnownFieldLoss", "LocalCrossCorrelationLoss", "RegistrationLoss", "TotalVariationLoss"]
