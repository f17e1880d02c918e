"""Which processes make the platform on this machine, and what each is told by its environment."""

from mercato.catalog import callers, catalog
from mercato.local.child import Child
from mercato.local.folder import Folder
from mercato.local.ports import HOST, Ports


def plan(folder: Folder, port: int, replicas: int, ports: Ports, secret: str) -> list[Child]:
    """The router on this port; for each service so many webs, and workers if it has any.

    Raises OSError: no port to be had.
    """
    front = Child("router", "router", {}, folder.log("router"), 1, ports.take(port))
    webs = [
        Child(name, "web", {}, folder.log(log_name(name, "web", number)), number, ports.take(), ports.take())
        for name in catalog()
        for number in range(1, replicas + 1)
    ]
    workers = [
        Child(entry.name, "worker", {}, folder.log(log_name(entry.name, "worker", number)), number, 0, ports.take())
        for entry in catalog().values()
        if entry.worker
        for number in range(1, replicas + 1)
    ]
    ports.settle()
    everyone = {
        "HOST": HOST,
        "DATA_DIR": str(folder.path),
        "ADDRESSES": ",".join(
            f"{name}=" + "|".join(f"{HOST}:{web.port}" for web in webs if web.name == name) for name in catalog()
        ),
        "TRUSTED_PROXIES": HOST,
        "PLATFORM_SECRET": secret,
        "ADMIN_PASSWORD": "",  # nobody else's business
    }
    for child in (front, *webs, *workers):
        child.environment = everyone | {
            "PORT": str(child.port),
            "HEALTH_PORT": str(child.health_port),
            "ALLOWED_CALLERS": ",".join(callers(child.name)),
        }
    return [front, *webs, *workers]


def log_name(name: str, kind: str, number: int) -> str:
    """`orders-web`, and `orders-web-2` for a second one."""
    return f"{name}-{kind}" + (f"-{number}" if number > 1 else "")
