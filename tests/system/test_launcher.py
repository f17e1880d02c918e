"""The launcher, with real processes: it starts, supervises and stops a platform, whatever dies."""

import http.client
import json
import os
import re
import signal
import socket
import time
from pathlib import Path

import pytest

from mercato.local.pids import start_time
from tests.system import toys
from tests.system.running import Platform, eventually, free_port


@pytest.fixture
def shop(tmp_path):
    platform = toys.platform(tmp_path)
    yield platform
    platform.down()


def get(platform: Platform, path: str = "/api/shop", timeout: float = 30) -> int:
    connection = http.client.HTTPConnection("127.0.0.1", platform.port, timeout=timeout)
    try:
        connection.request("GET", path)
        return connection.getresponse().status
    finally:
        connection.close()


def exists(pid: int) -> bool:
    return bool(start_time(pid))


def family(platform: Platform) -> list[int]:
    """Return the pids of all its processes and their children."""
    pids = [process["pid"] for process in platform.run()["processes"]]
    for pid in list(pids):
        pids += map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split())
    return pids


def fork_server(platform: Platform) -> int:
    """Return the pid of the fork server."""
    pid = platform.process("router", "router")["pid"]
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def test_up_starts_everything_and_down_stops_everything(shop):
    output = shop.mercato("up", "--detach").stdout
    run, kept = shop.run(), json.loads((shop.folder / "data" / "admin.json").read_text())
    assert run["url"] in output and kept["email"] in output and kept["password"] in output
    assert get(shop) == 200

    status = shop.mercato("status", "--json")
    processes = json.loads(status.stdout)["processes"]
    assert status.returncode == 0
    assert [(p["name"], p["kind"], p["ready"]) for p in processes] == [
        ("router", "router", True),
        ("shop", "web", True),
        ("people", "web", True),
        ("shop", "worker", True),
    ]
    table = shop.mercato("status").stdout
    assert "people" in table and "\x1b" not in table

    pids = [run["pid"], *family(shop)]
    assert shop.mercato("down").returncode == 0
    assert not [pid for pid in pids if exists(pid)]
    assert shop.mercato("status").returncode == 1


def test_environment_of_a_process_has_what_it_needs_and_no_more(shop):
    shop.environment["ADMIN_PASSWORD"] = "correct horse battery"
    shop.up()
    environments = {}
    for name in ("shop", "people"):
        connection = http.client.HTTPConnection("127.0.0.1", shop.port, timeout=30)
        connection.request("GET", f"/api/{name}")
        environments[name] = json.loads(connection.getresponse().read())["environment"]
        connection.close()
    ports = {name: shop.process(name, "web")["port"] for name in environments}
    assert environments["shop"]["ADDRESSES"] == f"shop=127.0.0.1:{ports['shop']},people=127.0.0.1:{ports['people']}"
    assert environments["shop"]["PLATFORM_SECRET"] == (shop.folder / "data" / "secret").read_text()
    assert environments["shop"]["HOST"] == environments["shop"]["TRUSTED_PROXIES"] == "127.0.0.1"
    assert "correct horse battery" not in environments["shop"].values()


@pytest.mark.parametrize(("setting", "value"), [("MONGODB_URI", "localhost"), ("KAFKA_SECURITY_PROTOCOL", "SASL_SSL")])
def test_up_rejects_a_wrong_engine_setting_before_it_starts(shop: Platform, setting: str, value: str) -> None:
    shop.environment |= {"KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:9", setting: value}
    rejected = shop.mercato("up", "--detach")
    assert rejected.returncode == 1
    assert rejected.stderr.startswith("mercato: the setting ") and len(rejected.stderr.splitlines()) == 1
    assert not (shop.folder / "data" / "run.json").exists()


def test_secrets_are_readable_by_the_owner_only_and_kept(shop):
    shop.up().down()
    data = shop.folder / "data"
    kept = {name: (data / name).read_text() for name in ("secret", "admin.json")}
    assert {oct((data / name).stat().st_mode & 0o777) for name in kept} == {"0o600"}
    assert oct(data.stat().st_mode & 0o777) == "0o700"
    again = shop.mercato("up", "--detach").stdout
    assert {name: (data / name).read_text() for name in kept} == kept
    password = json.loads(kept["admin.json"])["password"]
    assert password in again
    assert not [log for log in (data / "logs").iterdir() if password in log.read_text()]


def test_crashed_process_is_restarted_at_once_on_its_port(shop):
    shop.up()
    for name, kind in (("shop", "web"), ("shop", "worker"), ("router", "router")):
        before = shop.process(name, kind)
        children = family(shop)
        os.kill(before["pid"], signal.SIGKILL)
        after = eventually(lambda k=(name, kind), b=before: (p := shop.process(*k))["pid"] != b["pid"] and p)
        assert (after["port"], after["health_port"]) == (before["port"], before["health_port"])
        assert after["restarts"] == 1
        eventually(lambda: shop.mercato("status", "--json").returncode == 0, within=60)
        assert before["pid"] not in [pid for pid in children if exists(pid)]
    assert get(shop) == 200
    assert "shop web died by SIGKILL; restarting. Its log: data/logs/shop-web.log" in shop.log("up")


def test_backoff_grows_while_a_process_keeps_crashing(shop):
    shop.up()
    (shop.folder / "data" / "crash").touch()
    eventually(lambda: shop.log("shop-worker").count("the toy crashed") >= 3)
    begun, so_far = time.monotonic(), shop.process("shop", "worker")["restarts"]
    eventually(lambda: shop.process("shop", "worker")["restarts"] >= so_far + 2)
    assert time.monotonic() - begun > 1.2
    assert "shop worker died with exit code 1" in shop.log("up")
    (shop.folder / "data" / "crash").unlink()
    eventually(lambda: shop.mercato("status", "--json").returncode == 0)


def test_no_process_outlives_a_killed_launcher(shop):
    shop.up()
    pids = family(shop)
    os.kill(shop.run()["pid"], signal.SIGKILL)
    eventually(lambda: not [pid for pid in pids if exists(pid)], within=60)
    assert shop.mercato("status").returncode == 1


def test_up_ends_hanging_orphans_of_a_killed_launcher(tmp_path):
    platform = toys.platform(tmp_path, PORT=str(free_port()), STUBBORN="1", SHUTDOWN="1")
    try:
        platform.up()
        left, old = family(platform), platform.run()["pid"]
        os.kill(old, signal.SIGKILL)
        platform.up()
        assert not [pid for pid in left if exists(pid)]
        assert get(platform) == 200
    finally:
        platform.down()


def test_everything_is_restarted_when_the_fork_server_dies(shop):
    shop.up()
    before, server = family(shop), fork_server(shop)
    os.kill(server, signal.SIGKILL)
    eventually(lambda: not [pid for pid in before if exists(pid)])
    eventually(lambda: shop.mercato("status", "--json").returncode == 0)
    assert get(shop) == 200
    assert fork_server(shop) not in (server, shop.run()["pid"])


@pytest.mark.parametrize("send", [os.kill, os.killpg])  # a terminal that closes signals the group
def test_request_in_flight_is_finished_before_the_stop(shop, send):
    shop.up()
    launcher = shop.run()["pid"]
    connection = http.client.HTTPConnection("127.0.0.1", shop.port, timeout=30)
    connection.request("GET", "/api/shop/slow?2")
    eventually((shop.folder / "data" / "slow").exists)
    send(launcher, signal.SIGTERM)
    assert connection.getresponse().status == 200
    eventually(lambda: not exists(launcher))


def test_late_process_is_reported_and_noticed_once_it_is_ready(shop):
    launcher = shop.begin("up", patch="from mercato.local import launcher; launcher._STARTUP_S = 0.0")
    eventually(lambda: shop.mercato("status").returncode == 0)
    shop.down()
    output, _ = launcher.communicate(timeout=60)
    assert "shop web is not ready after 0 s" in output and "shop web is ready (" in output


def test_ctrl_c_stops_everything_with_exit_code_zero(shop):
    launcher = shop.begin("up")
    eventually(lambda: shop.run().get("ready"))
    os.kill(launcher.pid, signal.SIGINT)
    output, _ = launcher.communicate(timeout=60)
    assert launcher.returncode == 0
    assert "Stopping 4 processes" in output and output.strip().endswith("Stopped.")
    assert "\x1b" not in output


def test_process_that_ignores_sigterm_is_killed(tmp_path):
    platform = toys.platform(tmp_path, STUBBORN="1", SHUTDOWN="1").up()
    pids = family(platform)
    platform.down()
    assert not [pid for pid in pids if exists(pid)]
    assert re.search("Killing .*shop worker", platform.log("up"))  # others may be late, too, on a busy machine


@pytest.mark.parametrize("how", [(), ("--detach",)])
def test_second_up_in_the_same_folder_fails_with_one_line(shop, how):
    shop.up()
    second = shop.mercato("up", *how)
    assert second.returncode == 1
    assert second.stderr == f"mercato: already running in data at {shop.run()['url']}\n"
    assert get(shop) == 200


def test_up_on_a_taken_port_fails_with_one_line(tmp_path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        rejected = toys.platform(tmp_path, PORT=str(port)).mercato("up")
    assert rejected.returncode == 1
    assert rejected.stderr == f"mercato: port {port} is taken: set PORT to a free one\n"


def test_up_in_a_read_only_folder_fails_with_one_line(tmp_path):
    (tmp_path / "file").touch()
    rejected = toys.platform(tmp_path, DATA_DIR="file/data").mercato("up")
    assert rejected.returncode == 1
    assert rejected.stderr == "mercato: cannot write to DATA_DIR=file/data: Not a directory\n"


@pytest.mark.parametrize("command", [("up",), ("up", "--detach"), ("down",), ("status",), ("demo",)])
def test_data_of_an_earlier_version_is_rejected_in_one_line(tmp_path, command):
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "secret").write_text("of an earlier version")
    rejected = toys.platform(tmp_path).mercato(*command)
    assert rejected.returncode == 1
    assert rejected.stderr.startswith("mercato: data was made by an earlier version (storage format 1, not ")
    assert rejected.stderr.endswith("): set DATA_DIR to a new folder, or move this one away\n")
    assert [path.name for path in (tmp_path / "data").iterdir()] == ["secret"]


def test_several_platforms_run_side_by_side(tmp_path):
    platforms = [toys.platform(tmp_path / name) for name in ("one", "two")]
    try:
        starts = [platform.begin("up", "--detach") for platform in platforms]
        assert [start.wait(120) for start in starts] == [0, 0]
        assert [get(platform) for platform in platforms] == [200, 200]
    finally:
        for platform in platforms:
            platform.down()
