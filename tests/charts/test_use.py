"""How the chart is installed by others: as a part of a chart, and by upgrades."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from tests.charts.rendering import CHART, run

ROOT = CHART.parents[1]


@pytest.fixture
def whole(tmp_path: Path) -> Path:
    """A chart that has this one as a part, which `shop.enabled` turns on."""
    chart = tmp_path / "whole"
    shutil.copytree(CHART, chart / "charts" / "mercato")
    version = yaml.safe_load((CHART / "Chart.yaml").read_text())["version"]
    part = {"name": "mercato", "alias": "shop", "version": version, "condition": "shop.enabled"}
    manifest = {"apiVersion": "v2", "name": "whole", "version": "1.0.0", "dependencies": [part]}
    (chart / "Chart.yaml").write_text(yaml.safe_dump(manifest))
    (chart / "values.yaml").write_text(yaml.safe_dump({"global": {"region": "eu"}, "shop": {"enabled": True}}))
    return chart


@pytest.mark.parametrize(("enabled", "expected"), [("true", True), ("false", False)])
def test_chart_that_is_a_part_can_be_turned_off(whole: Path, enabled: str, expected: bool) -> None:
    done = run("helm", "template", "all", str(whole), "--set", f"shop.enabled={enabled}")
    assert done.returncode == 0, done.stderr
    assert bool(list(filter(None, yaml.safe_load_all(done.stdout)))) is expected


def test_values_of_a_part_are_checked(whole: Path) -> None:
    for value, named in (("shop.enabld=true", "enabld"), ("shop.enabled=maybe", "enabled")):
        done = run("helm", "template", "all", str(whole), "--set", value)
        assert done.returncode == 1
        assert named in done.stderr


def test_no_upgrade_drops_values_that_a_newer_chart_brings() -> None:
    command = ["git", "ls-files", "docs", "k8s", "tests/cluster", ".ci", ".github", "Makefile", "README.md"]
    files = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout.split()
    upgrades = [line for file in files for line in (ROOT / file).read_text(errors="replace").splitlines()]
    assert any("--reset-then-reuse-values" in line for line in upgrades)
    assert [line for line in upgrades if re.search(r"(?<!`)--reuse-values", line)] == []
