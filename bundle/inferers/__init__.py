"""Network inference and instance optimisation."""

from bundle.inferers.instance_optimization import InstanceOptimization
from bundle.inferers.network_fine_tuning import NetworkFineTuning
from bundle.inferers.registration import RegistrationInferer

__all__ = ["InstanceOptimization", "NetworkFineTuning", "RegistrationInferer"]
