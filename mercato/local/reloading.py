"""`mercato up --reload`: which processes run code that has changed.

services/<name>/            the processes of that service
services/<name>/messages.py all services, because others import it
chassis/, mercato/          everything, the launcher too: the fork server has imported them
"""

import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

from mercato.catalog import catalog
from mercato.local.watch import CodeWatch

_TOOL = Path(__file__).parents[1]
_IMPORTS = "import mercato.local.launcher, mercato.local.preloaded"


class Reloader:
    """The watch over the code of the platform."""

    def __init__(self) -> None:
        self._services = {name: folder for name in catalog() if (folder := _folder(f"services.{name}"))}
        self._shared = [folder for folder in (_folder("chassis"), _TOOL) if folder]
        self._watch = CodeWatch(*self._services.values(), *self._shared)

    def poll(self) -> tuple[set[Path], set[str] | None]:
        """Return (changed files, services that run them); None in place of the services for everything."""
        changed = self._watch.poll()
        services: set[str] = set()
        for path in changed:
            owner = next((name for name, folder in self._services.items() if path.is_relative_to(folder)), None)
            if owner is None:
                return changed, None
            services |= set(self._services) if path.name == "messages.py" else {owner}
        return changed, services


def import_error() -> str:
    """Return why the code that everything shares cannot be imported as it is now, or ""."""
    done = subprocess.run([sys.executable, "-c", _IMPORTS], capture_output=True, text=True, check=False)  # noqa: S603  ours
    return (done.stderr.strip().splitlines() or ["unknown error"])[-1] if done.returncode else ""


def _folder(package: str) -> Path | None:
    spec = find_spec(package)
    return Path(spec.origin).parent if spec and spec.origin else None
