"""The version of the chart moves with every change."""

import json
import shutil
import tarfile
from pathlib import Path

import pytest

from tests.charts import version
from tests.charts.rendering import CHART

RELEASES = CHART.parents[1] / "tests" / "releases"


def test_chart_has_a_new_version_since_its_last_change() -> None:
    recorded = json.loads(version.RECORD.read_text())
    assert version.current() == recorded, "python -m tests.charts.golden raises and records the version of the chart"


def test_no_version_names_another_chart_than_the_released_one(tmp_path: Path) -> None:
    packed = sorted(RELEASES.glob("*/mercato-*.tgz"))
    assert packed
    for path in packed:
        with tarfile.open(path) as archive:
            archive.extractall(tmp_path / path.stem, filter="data")
        released, now = version.current(tmp_path / path.stem / "mercato"), version.current()
        assert released["version"] != now["version"] or released["sha256"] == now["sha256"]


@pytest.fixture
def chart(tmp_path: Path) -> Path:
    return Path(shutil.copytree(CHART, tmp_path / "mercato"))


@pytest.mark.parametrize("file", ["values.yaml", "templates/edge.yaml", "ci/new-values.yaml", "Chart.yaml"])
@pytest.mark.parametrize(
    ("before", "after"), [("0.2.0", "0.3.0-dev.1"), ("0.3.0-dev.9", "0.3.0-dev.10"), ("1.0.9", "1.1.0-dev.1")]
)
def test_change_of_a_file_raises_the_version_once(
    chart: Path, tmp_path: Path, file: str, before: str, after: str
) -> None:
    record, manifest = tmp_path / "version.json", chart / "Chart.yaml"
    present = version.current(chart)["version"]
    manifest.write_text(manifest.read_text().replace(f"version: {present}", f"version: {before}", 1))
    version.update(chart, record)
    assert version.current(chart)["version"] == before
    with (chart / file).open("a") as text:
        text.write("# changed\n")
    assert version.is_stale(json.loads(record.read_text()), chart)
    for _ in range(2):
        version.update(chart, record)
        assert version.current(chart)["version"] == after
    assert not version.is_stale(json.loads(record.read_text()), chart)


def test_release_of_the_same_files_is_recorded_as_it_is(chart: Path, tmp_path: Path) -> None:
    record, manifest = tmp_path / "version.json", chart / "Chart.yaml"
    version.update(chart, record)
    present = version.current(chart)["version"]
    manifest.write_text(manifest.read_text().replace(f"version: {present}", "version: 9.0.0", 1))
    version.update(chart, record)
    assert json.loads(record.read_text())["version"] == version.current(chart)["version"] == "9.0.0"
