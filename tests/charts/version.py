"""The version of the chart, which moves with every change of its files: Helm and registries tell charts apart by it.

`golden/version.json` records the present version with a digest of the files that it names.
"""

import hashlib
import json
import re
from pathlib import Path

from tests.charts.rendering import CHART

RECORD = Path(__file__).parent / "golden" / "version.json"
_LINE = re.compile(r"^version: (\d+)\.(\d+)\.(\d+)(?:-dev\.(\d+))?$", re.MULTILINE)


def current(chart: Path = CHART) -> dict[str, str]:
    """Return the version of a chart, and a digest of its files without it."""
    manifest = (chart / "Chart.yaml").read_text()
    digest = hashlib.sha256(_LINE.sub("", manifest).encode())
    for path in sorted(path for path in chart.rglob("*") if path.is_file() and path.name != "Chart.yaml"):
        content = path.read_bytes()
        digest.update(f"{path.relative_to(chart)} {len(content)}\n".encode() + content)
    found = _LINE.search(manifest)
    assert found, "Chart.yaml has a version such as 0.3.0 or 0.3.0-dev.4"
    return {"version": found[0].removeprefix("version: "), "sha256": digest.hexdigest()}


def is_stale(recorded: dict[str, str], chart: Path = CHART) -> bool:
    """Return whether the files changed under the same version."""
    now = current(chart)
    return now["version"] == recorded["version"] and now["sha256"] != recorded["sha256"]


def update(chart: Path = CHART, record: Path = RECORD) -> None:
    """Raise the version if it is stale, and record it."""
    if record.exists() and is_stale(json.loads(record.read_text()), chart):
        manifest = chart / "Chart.yaml"
        manifest.write_text(_LINE.sub(_next, manifest.read_text()))
    record.write_text(json.dumps(current(chart), indent=2) + "\n")


def _next(line: re.Match[str]) -> str:
    """Return the line of the next version: 0.2.0, 0.3.0-dev.1, 0.3.0-dev.2."""
    major, minor, patch, number = line.groups()
    if number is None:
        return f"version: {major}.{int(minor) + 1}.0-dev.1"
    return f"version: {major}.{minor}.{patch}-dev.{int(number) + 1}"
