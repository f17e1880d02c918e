"""The processes of the platform on this machine, and the environment of each."""

import os

from mercato.catalog import catalog
from mercato.local.child import Child
from mercato.local.folder import Folder
from mercato.local.ports import HOST, Ports


def plan(folder: Folder, port: int, replicas: int, ports: Ports) -> list[Child]:
    """Return the router on this port and, for each service, its web processes and its workers, if it has any.

    Raises: OSError if a port cannot be bound.
    """
    router = Child("router", "router", {}, folder.log_path("router"), 1, ports.take(port), ports.take())
    webs = [
        Child(name, "web", {}, folder.log_path(log_name(name, "web", number)), number, ports.take(), ports.take())
        for name in catalog()
        for number in range(1, replicas + 1)
    ]
    workers = [
        Child(
            entry.name, "worker", {}, folder.log_path(log_name(entry.name, "worker", number)), number, 0, ports.take()
        )
        for entry in catalog().values()
        if entry.worker
        for number in range(1, replicas + 1)
    ]
    ports.release_if_exclusive()
    common = {
        "HOST": HOST,
        "DATA_DIR": str(folder.path),
        "ADDRESSES": ",".join(
            f"{name}=" + "|".join(f"{HOST}:{web.port}" for web in webs if web.name == name) for name in catalog()
        ),
        "TRUSTED_PROXIES": HOST,
        "ADMIN_PASSWORD": "",  # no service needs it
        "MAIL_DIR": str(folder.path / "mail"),
        "PUBLIC_URL": os.environ.get("PUBLIC_URL", f"http://{HOST}:{router.port}"),
    }
    for child in (router, *webs, *workers):
        child.environment = common | {
            "PORT": str(child.port),
            "HEALTH_PORT": str(child.health_port),
        }
    return [router, *webs, *workers]


def log_name(name: str, kind: str, number: int) -> str:
    """Return `orders-web`, and `orders-web-2` for the second replica."""
    return f"{name}-{kind}" + (f"-{number}" if number > 1 else "")
