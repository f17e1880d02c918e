"""The catalog with which a new shop starts: imported once everything is ready, by the command that operators use."""

import os
import subprocess
import sys
from pathlib import Path

from mercato.local.folder import shown
from mercato.local.pids import kill_group


class FirstCatalog:
    """Imports a file of products into a shop that has just been made."""

    def __init__(self, file: Path, data_dir: Path, log: Path) -> None:
        self.file, self._data_dir, self._log = file, data_dir, log
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Begin the import into the platform of this data folder."""
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(  # noqa: S603  our own interpreter and command
                [sys.executable, "-m", "mercato.cli", "import", "products", str(self.file)],
                env=os.environ | {"DATA_DIR": str(self._data_dir)},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def outcome(self) -> str:
        """Return a line that says how the import ended, once, or "" before and afterwards."""
        if self._process is None or self._process.poll() is None:
            return ""
        code, self._process = self._process.returncode, None
        if code:
            return f"The shop could not be filled with {shown(self.file)}: see {shown(self._log)}"
        return f"The shop has the products of {shown(self.file)}."

    def stop(self) -> None:
        if self._process is not None:
            kill_group(self._process.pid)
            self._process.wait()
