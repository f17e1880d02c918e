"""Which processes make the platform on this machine, and what each is told by its environment."""

from chassis.catalog import callers, catalog
from chassis.local.child import Child
from chassis.local.folder import Folder
from chassis.local.ports import HOST, Ports


def plan(folder: Folder, port: int, ports: Ports, secret: str) -> list[Child]:
    """The router on this port, a web for each service, a worker where it has one. Raises OSError: no port to be had."""
    front = Child("router", "router", {}, folder.log("router"), port=ports.take(port))
    services = list(catalog().values())
    webs = {
        entry.name: Child(
            entry.name, "web", {}, folder.log(f"{entry.name}-web"), port=ports.take(), health_port=ports.take()
        )
        for entry in services
    }
    workers = [
        Child(entry.name, "worker", {}, folder.log(f"{entry.name}-worker"), health_port=ports.take())
        for entry in services
        if entry.worker
    ]
    ports.settle()
    everyone = {
        "HOST": HOST,
        "DATA_DIR": str(folder.path),
        "ADDRESSES": ",".join(f"{name}={HOST}:{web.port}" for name, web in webs.items()),
        "TRUSTED_PROXIES": HOST,
        "PLATFORM_SECRET": secret,
        "ADMIN_PASSWORD": "",  # nobody else's business
    }
    for child in (front, *webs.values(), *workers):
        child.environment = everyone | {
            "PORT": str(child.port),
            "HEALTH_PORT": str(child.health_port),
            "ALLOWED_CALLERS": ",".join(callers(child.name)),
        }
    return [front, *webs.values(), *workers]
