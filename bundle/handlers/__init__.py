"""Ignite handlers: metrics attached to MONAI's engines, the table they end with, and what makes training resumable."""

from bundle.handlers.epoch_progress import EpochProgress
from bundle.handlers.epoch_seed import EpochSeed
from bundle.handlers.faults import FiniteLoss, check_enough_pairs
from bundle.handlers.gradient_clip import GradientClip
from bundle.handlers.jacobian import JacobianStatistic
from bundle.handlers.lncc import LNCC
from bundle.handlers.recipe_saver import RecipeSaver
from bundle.handlers.training_checkpoint import TrainingCheckpoint, ValidationState
from bundle.handlers.tre import TargetRegistrationError
from bundle.handlers.tre_table import TRETableHandler
from bundle.handlers.weight_average import WeightAverage
from bundle.handlers.weights_loader import StartWeights, WeightsLoader

__all__ = [
    "LNCC",
    "EpochProgress",
    "EpochSeed",
    "FiniteLoss",
    "GradientClip",
    "JacobianStatistic",
    "RecipeSaver",
    "StartWeights",
    "TRETableHandler",
    "TargetRegistrationError",
    "TrainingCheckpoint",
    "ValidationState",
    "WeightAverage",
    "WeightsLoader",
    "check_enough_pairs",
]
