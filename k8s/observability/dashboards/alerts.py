"""The shipped alerts, as dashboards list them."""

from pathlib import Path
from typing import Any

import yaml

RULES = Path(__file__).parent.parent / "rules"
ALWAYS = "Watchdog"
"""Fires all the time, to show that alerts arrive."""


def _runbooks() -> dict[str, str]:
    groups = [group for path in RULES.glob("*.yaml") for group in yaml.safe_load(path.read_text())["groups"]]
    rules: list[dict[str, Any]] = [rule for group in groups for rule in group["rules"] if "alert" in rule]
    return {rule["alert"]: rule["annotations"]["runbook_url"] for rule in rules if rule["alert"] != ALWAYS}


_URLS = _runbooks()
RUNBOOKS = next(iter(_URLS.values())).rpartition("/")[0]
"""Folder of the runbooks; the chart replaces it by its value."""
PAGES = {name: url.rpartition("/")[2] for name, url in sorted(_URLS.items())}
"""Alert -> file name of its runbook."""
_OURS = f'alertname=~"{"|".join(PAGES)}", cluster=~"$cluster", namespace=~"$namespace|"'

FIRING = f'ALERTS{{alertstate="firing", {_OURS}}}'
"""The firing alerts of the platform; a rule may drop the label `namespace`."""
_FOR = f"{FIRING} * ignoring (alertstate) group_left () (time() - ALERTS_FOR_STATE{{{_OURS}}})"
FIRING_FOR = (
    f'max by (severity, alertname, service, runbook) (label_replace({_FOR}, "runbook", "$1", "alertname", "(.+)"))'
)
"""Seconds since the condition of each firing alert became true; `runbook` has its name again."""
