"""A real Prometheus on loopback with the shipped rules and the chart's PodMonitor that scrapes a platform every second.

with Prometheus(folder, shop) as prometheus:
    prometheus.firing()                  # {("OutboxStalled", "orders"), ...}
    prometheus.ask("sum(up)")            # [({}, 13.0)]
"""

import json
import shutil
import subprocess
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import requests
import yaml

from tests.charts.rendering import tool
from tests.observability.files import FOLDER, RULES
from tests.observability.pod_monitor import meta_labels, scrape_config
from tests.system.platform import Shop
from tests.system.running import eventually, free_port

Sample = tuple[dict[str, str], float]


class Prometheus:
    """A Prometheus as prometheus-operator configures it, except that it finds the processes in a file."""

    def __init__(self, folder: Path, shop: Shop, interval_s: int = 1) -> None:
        self._folder, self._shop, self._interval_s = folder, shop, interval_s
        self._program = tool("prometheus")
        self.url = f"http://127.0.0.1:{free_port()}"
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        (self._folder / "rules").mkdir(parents=True)
        for path in RULES:
            shutil.copy(path, self._folder / "rules")
        configuration: dict[str, Any] = yaml.safe_load((FOLDER / "prometheus" / "prometheus.yml").read_text())
        interval, timeout = f"{self._interval_s}s", f"{min(self._interval_s, 5)}s"
        configuration["global"] = {
            "scrape_interval": interval,
            "scrape_timeout": timeout,
            "evaluation_interval": interval,
        }
        for cluster in ("alerting", "scrape_config_files"):
            del configuration[cluster]
        configuration["scrape_configs"] = [scrape_config("targets.json")]
        (self._folder / "prometheus.yml").write_text(yaml.safe_dump(configuration))
        self.watch(processes(self._shop))
        command = [self._program, "--config.file=prometheus.yml", "--storage.tsdb.path=data", "--log.level=warn"]
        command += [f"--web.listen-address={self.url.removeprefix('http://')}", "--enable-feature=exemplar-storage"]
        self._log = (self._folder / "log").open("wb")
        self._process = subprocess.Popen(command, cwd=self._folder, stdout=self._log, stderr=self._log)
        eventually(self._ready)
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        assert self._process
        self._process.terminate()
        self._process.wait(20)
        self._log.close()

    def watch(self, listed: list[dict[str, Any]]) -> None:
        """Scrape only these processes."""
        path = self._folder / "targets.json"
        path.with_suffix(".new").write_text(json.dumps([pod(each) for each in listed]))
        path.with_suffix(".new").replace(path)

    def ask(self, query: str) -> list[Sample]:
        """Return the samples of an instant query."""
        result = self.get("query", query=query)["result"]
        return [(each["metric"], float(each["value"][1])) for each in result]

    def firing(self) -> set[tuple[str, str]]:
        """Return (alert, service) of each firing alert; the service is "" for an alert of the platform."""
        return self._alerts("firing")

    def near(self) -> set[tuple[str, str]]:
        """Return the same for pending alerts."""
        return self._alerts("pending")

    def traced(self, metric: str) -> list[dict[str, Any]]:
        """Return the exemplars of a metric."""
        found = self.get("query_exemplars", query=metric, start="0", end="9999999999")
        return [exemplar for series in found for exemplar in series["exemplars"]]

    def get(self, what: str, **parameters: str) -> Any:
        answer = requests.get(f"{self.url}/api/v1/{what}", parameters, timeout=20)
        body = answer.json()
        assert body["status"] == "success", f"{parameters}: {body['error']}"
        return body["data"]

    def _alerts(self, state: str) -> set[tuple[str, str]]:
        listed = [each for each in self.get("alerts")["alerts"] if each["state"] == state]
        listed = [each for each in listed if each["labels"]["severity"] != "none"]  # which always fire
        return {(each["labels"]["alertname"], each["labels"].get("service", "")) for each in listed}

    def _ready(self) -> bool:
        assert self._process and self._process.poll() is None, (self._folder / "log").read_text()
        try:
            return requests.get(f"{self.url}/-/ready", timeout=2).ok
        except requests.ConnectionError:
            return False


def processes(shop: Shop) -> list[dict[str, Any]]:
    """Return the processes with metrics, as in `mercato status --json`."""
    listed = json.loads(shop.mercato("status", "--json").stdout)["processes"]
    return [each for each in listed if each["health_port"]]


def pod(process: dict[str, Any]) -> dict[str, Any]:
    """Return the target of a process, described like a pod."""
    return {"targets": [f"127.0.0.1:{process['health_port']}"], "labels": meta_labels(process)}
