"""The platform in a cluster, as the system tests see one that runs elsewhere."""

from tests.system.conftest import buyer, shop

__all__ = ["buyer", "shop"]
