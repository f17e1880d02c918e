"""The metrics of the processes of a running platform."""

from collections.abc import Iterator

import requests
from prometheus_client.openmetrics.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

from tests.system.platform import Shop

OPENMETRICS = {"Accept": "application/openmetrics-text; version=1.0.0"}


def scrape(shop: Shop) -> dict[str, str]:
    """Return process, such as `orders-web` -> the text of its metrics with exemplars."""
    found = {}
    for process in shop.run()["processes"]:
        if process["health_port"]:
            url = f"http://127.0.0.1:{process['health_port']}/metrics"
            found[f"{process['name']}-{process['kind']}"] = requests.get(url, headers=OPENMETRICS, timeout=10).text
    return found


def samples(text: str) -> Iterator[Sample]:
    for family in text_string_to_metric_families(text):
        yield from family.samples


class Snapshot:
    """The metrics of all processes at one moment."""

    def __init__(self, shop: Shop) -> None:
        self.samples = [sample for text in scrape(shop).values() for sample in samples(text)]

    def value(self, name: str, **labels: str) -> float:
        """Return the sum of the samples with this name and these labels."""
        return sum(each.value for each in self.samples if each.name == name and labels.items() <= each.labels.items())
