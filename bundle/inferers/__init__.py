"""How a network is applied to a pair, and its answer refined."""

from bundle.inferers.instance_optimization import InstanceOptimization
from bundle.inferers.network_fine_tuning import NetworkFineTuning
from bundle.inferers.registration import RegistrationInferer

__all__ = ["InstanceOptimization", "NetworkFineTuning", "RegistrationInferer"]
