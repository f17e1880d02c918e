"""Fixtures of the cluster tests: those of the system tests against a remote platform."""

from tests.system.conftest import buyer, shop

__all__ = ["buyer", "shop"]
