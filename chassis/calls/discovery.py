"""Where another service is: the address that the settings name, or the name itself, which DNS resolves."""

from chassis.settings import settings


def address(service: str) -> str:
    """host:port of a service."""
    return settings().addresses.get(service, service)
