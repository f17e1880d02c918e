"""`mercato up --reload`: a change of code restarts the processes that run it, and no other."""

import json
import shutil
from pathlib import Path

import requests

from tests.system import toys
from tests.system.running import ROOT, Platform, eventually


def said(platform: Platform, service: str) -> str:
    """Return what a toy answers, "" if it does not answer."""
    try:
        return str(requests.get(f"http://127.0.0.1:{platform.port}/api/{service}", timeout=5).json()["service"])
    except (requests.RequestException, ValueError, KeyError):
        return ""


def pids(platform: Platform) -> dict[str, int]:
    return {f"{each['name']} {each['kind']}": each["pid"] for each in platform.run().get("processes", [])}


def test_change_of_a_service_restarts_its_processes_alone(tmp_path: Path) -> None:
    platform = toys.platform(tmp_path)
    try:
        platform.begin("up", "--reload", stdout=tmp_path / "up.txt")
        eventually(lambda: platform.run().get("ready"), 60)
        before = pids(platform)
        source = tmp_path / "toys" / "services" / "shop" / "service.py"
        source.write_text(source.read_text().replace('Service("shop")', 'Service("a new shop")'))
        eventually(lambda: said(platform, "shop") == "a new shop", 60)
        eventually(lambda: pids(platform)["shop worker"] != before["shop worker"], 60)
        after = pids(platform)
        assert {name for name in before if before[name] != after[name]} == {"shop web", "shop worker"}
        printed = (tmp_path / "up.txt").read_text()
        assert "toys/services/shop/service.py changed; restarting shop" in printed
        assert "died" not in printed
    finally:
        platform.down()


def test_change_of_the_chassis_restarts_everything_once_it_can_be_imported(tmp_path: Path) -> None:
    code = tmp_path / "code"
    for name in ("chassis", "mercato"):
        shutil.copytree(ROOT / name, code / name, ignore=shutil.ignore_patterns("__pycache__"))
    platform = toys.platform(tmp_path, PYTHONPATH=f"{tmp_path / 'toys'}:{code}")
    try:
        platform.begin("up", "--reload", stdout=tmp_path / "up.txt")
        eventually(lambda: platform.run().get("ready"), 60)
        before, port = pids(platform), platform.port
        source = code / "chassis" / "errors.py"
        right = source.read_text()
        source.write_text(right + "\n(\n")
        eventually(lambda: "errors.py changed; not restarting: SyntaxError" in (tmp_path / "up.txt").read_text(), 60)
        assert pids(platform) == before
        source.write_text(right + '\nNEW = "new"\n')
        eventually(lambda: platform.run().get("ready") and not before.items() & pids(platform).items(), 60)
        assert (said(platform, "shop"), platform.port) == ("shop", port)
        status = json.loads(platform.mercato("status", "--json").stdout)
        assert status["ready"]
    finally:
        platform.down()
