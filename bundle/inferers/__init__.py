"""Network inference and instance optimisation."""

from bundle.inferers.instance_optimization import InstanceOptimization
from bundle.inferers.network_fine_tuning import NetworkFineTuning
from bundle.inferers.registration import RegistrationInferer, has_mixed_precision

__all__ = ["InstanceOptimization", "NetworkFineTuning", "RegistrationInferer", "has_mixed_precision"]
