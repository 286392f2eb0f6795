"""How a network is applied to a pair."""

from bundle.inferers.registration import RegistrationInferer

__all__ = ["RegistrationInferer"]
