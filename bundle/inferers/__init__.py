"""How a network is applied to a pair, and its answer refined."""

from bundle.inferers.field_refinement import FieldRefinement
from bundle.inferers.network_refinement import NetworkRefinement
from bundle.inferers.registration import RegistrationInferer

__all__ = ["FieldRefinement", "NetworkRefinement", "RegistrationInferer"]
