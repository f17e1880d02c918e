"""Golden files of the chart: `python -m tests.charts.golden` writes them, and `git diff` shows the changes. It raises
the version of the chart if its files changed.

They have three services, one of each kind, so that a new service does not change them. `minimal.yaml` is the chart with
its defaults; the file of every other sample is its difference from that.
"""

import difflib
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from tests.charts import version
from tests.charts.rendering import CHART, MINIMAL, SAMPLES, Doc, rendered

FOLDER = Path(__file__).parent / "golden"
SERVICES = {
    "users": {"routes": ["/api/users", "/api/auth"], "worker": True, "calls": []},
    "notifications": {"routes": ["/api/notifications"], "worker": True, "audits": True, "calls": ["users"]},
    "front": {"routes": ["/shop"], "exact": ["/"], "calls": ["users", "notifications"]},
}
_SCRIPT = (CHART / "files" / "order.py").read_text()


def path(sample: str) -> Path:
    """Return the golden file of a sample."""
    return FOLDER / (f"{sample}.yaml" if sample == MINIMAL else f"{sample}.diff")


@contextmanager
def small_chart() -> Iterator[Path]:
    """Yield a copy of the chart with SERVICES as its services."""
    with tempfile.TemporaryDirectory() as folder:
        chart = Path(shutil.copytree(CHART, Path(folder) / "mercato"))
        values = yaml.safe_load((chart / "values.yaml").read_text())
        (chart / "values.yaml").write_text(yaml.safe_dump(values | {"services": SERVICES}))
        yield chart


def golden(sample: str, chart: Path) -> str:
    """Return the content of the golden file of a sample."""
    plain = _texts(rendered(MINIMAL, chart))
    if sample == MINIMAL:
        return "---\n".join(plain.values())
    texts = _texts(rendered(sample, chart))
    names = sorted(plain.keys() | texts.keys())
    return "".join(_difference(name, plain.get(name, ""), texts.get(name, "")) for name in names)


def _difference(name: str, before: str, after: str) -> str:
    lines = list(difflib.unified_diff(before.splitlines(), after.splitlines(), lineterm="", n=2))[2:]
    shown = ["@@" if line.startswith("@@") else line for line in lines]
    return "\n".join([f"=== {name}", *shown, ""]) if shown else ""


def _texts(docs: list[Doc]) -> dict[str, str]:
    """Return kind and name -> the object as text, independent of the version of Helm."""
    found = {f"{doc['kind']} {doc['metadata']['name']}": _stable(doc) for doc in docs}
    return {name: yaml.safe_dump(found[name], width=118, default_flow_style=None) for name in sorted(found)}


def _stable(value: Any, key: str = "") -> Any:
    """Return the value without random parts, and without what has a file of its own: script, rules, dashboards."""
    if key in ("PLATFORM_SECRET", "ADMIN_PASSWORD", "checksum/settings"):
        return "..."
    if key == "groups":
        return "(files/rules)"
    if key.endswith(".json"):
        return f"(files/dashboards/{key.removeprefix('mercato-')})"
    if isinstance(value, dict):
        return {name: _stable(each, name) for name, each in value.items()}
    if isinstance(value, list):
        return [_stable(each) for each in value]
    return "(files/order.py)" if value == _SCRIPT else value


def main() -> int:
    FOLDER.mkdir(exist_ok=True)
    version.update()
    with small_chart() as chart:
        for sample in SAMPLES:
            path(sample).write_text(golden(sample, chart))
            print(path(sample).relative_to(Path.cwd()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
