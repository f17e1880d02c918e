"""The contracts of a service, made from its code: what clients and consumers may rely on."""

import sys
from typing import Any

from chassis.service import Service

VERSION = "1"
"""A breaking change needs another one."""


def info(service: Service) -> dict[str, Any]:
    """How both documents of a service begin."""
    module = sys.modules.get(f"services.{service.name}.service")
    said = (module.__doc__ or "").strip() if module else ""
    return {"title": f"Mercato {service.name}", "version": VERSION, **({"description": said} if said else {})}
