"""The contracts of a service, generated from its code: what clients, callers and consumers may rely on."""

import sys
from typing import Any

from chassis.service import Service

VERSION = "1"
"""The version of all contracts; a breaking change needs a new one."""


def info(service: Service) -> dict[str, Any]:
    """Return the `info` of each document of a service."""
    module = sys.modules.get(f"services.{service.name}.service")
    description = (module.__doc__ or "").strip() if module else ""
    found = {"title": f"Mercato {service.name}", "version": VERSION}
    return found | {"description": description} if description else found
