"""Mixed storm: two releases run side by side on the same data while clients shop and processes die or stand still.

    python -m tests.faults.mixed [--only SERVICE | --pairs] [--seconds N] [--seed N] [--engines]

Every service runs once in the latest recorded release and once in the present code, as during a rolling upgrade. --only
mixes one service, and --pairs each service in turn, with the others in the present code. The data are judged as after a
chaos test once the upgrade is finished; nothing may be parked or set aside.
"""

import os
import random
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Collection
from pathlib import Path
from random import Random
from typing import Any

import click

from mercato.catalog import catalog, processes
from tests import dump, engines
from tests.faults import checker
from tests.faults.load import Load
from tests.faults.mixed_platform import MixedShop
from tests.faults.replica import child_pids, paused
from tests.faults.scenario import Scenario
from tests.faults.schedule import LEASE_S, PAUSE_S
from tests.faults.visitor import Visitor
from tests.releases.installed import NotInstallable, Release, install, latest_version
from tests.system.platform import eventually

ORDERS_PER_S = 1.0
CALM_S = 1.0
"""Between two faults."""
SETTINGS = {"RATE_LIMITS": "off", "LEASE": f"{LEASE_S:g}", "RESERVATION": "8", "ACCESS_TOKEN": "86400"}


def storm(scenario: Scenario, shop: MixedShop, seed: int, seconds: float) -> dict[str, Any]:
    """Kill and pause processes of both releases while clients shop, finish the upgrade under the same load, then check.

    Raises:
        AssertionError: a client got a wrong response, a process did not recover, or an invariant is violated.
    """
    load = Load(scenario, seed, round(seconds * ORDERS_PER_S), seconds)
    visitor, random = Visitor(scenario, Random(f"{seed}/visitor")), Random(seed)
    began, faults = time.monotonic(), Counter[str]()
    with load.running(), visitor.visiting():
        while time.monotonic() - began < seconds:
            process = random.choice(shop.processes())
            fault = random.choice((kill, kill, pause))
            fault(shop, process)
            faults[fault.__name__] += 1
            time.sleep(CALM_S)  # part of the storm
        shop.finish_upgrade()
    judged = time.monotonic()
    scenario.assert_consistent()
    for shopper in load.shoppers:
        shopper.read_all_orders()
    scenario.assert_consistent()
    aside = {name: shop.documents(name, "set_aside") for name, kind in processes() if kind == "worker"}
    assert not any(aside.values()), f"set aside: {aside}"
    audit = shop.mercato("audit", "--json")
    assert audit.returncode == 0, f"mercato audit disagrees with the checker:\n{audit.stdout}{audit.stderr}"
    streams = checker.event_streams(dump.read_store(shop.place, "orders", "streams"))
    statuses = Counter(checker.fold(commits)["status"] for commits in streams.values())
    return {
        "orders": load.placed,
        "visits": visitor.visits,
        "faults": dict(faults),
        "statuses": dict(sorted(statuses.items())),
        "judged_in_s": round(time.monotonic() - judged, 1),
    }


def kill(shop: MixedShop, process: dict[str, Any]) -> None:
    """Kill a process; the other release takes over its leases."""
    shop.end(signal.SIGKILL, process)


def pause(shop: MixedShop, process: dict[str, Any]) -> None:
    """Stop a process for longer than its leases; what it then writes must not undo what the other release did."""
    pid = eventually(lambda: child_pids(process["pid"]))[0] if process["kind"] == "web" else process["pid"]
    with paused(shop, process["name"], pid):
        time.sleep(PAUSE_S)  # the fault itself


def run(release: Release, services: Collection[str], seed: int, seconds: float, repeat: str) -> bool:
    """Run one storm on a platform of its own, print the result, and return whether it passed."""
    print(f"seed {seed}: {', '.join(services)} in {release.version} and in the present code, {seconds:g} s", flush=True)
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="mixed-") as folder:
        shop = MixedShop(Path(folder), release, services, **SETTINGS)
        scenario = Scenario(shop, "-".join(("mixed", str(seed), *(services if len(services) == 1 else ()))))
        try:
            shop.up()
            result = storm(scenario, shop, seed, seconds)
        except Exception as error:
            evidence = scenario.save_evidence()
            print(f"failed: {str(error) or repr(error)}\nEvidence: {evidence}. To repeat:\n    {repeat}", flush=True)
            return False
        finally:
            shop.down()
            engines.end()
    print(f"passed after {time.monotonic() - began:.0f} s: {result}", flush=True)
    return True


@click.command()
@click.option("--only", help="Mix this service only.")
@click.option("--pairs", is_flag=True, help="Mix one service after the other.")
@click.option("--seconds", default=60.0, help="Duration of each storm.")
@click.option("--seed", type=int, help="Repeat an earlier storm.")
@click.option("--engines", "real", is_flag=True, help="Run on MongoDB and Kafka.")
def main(only: str | None, pairs: bool, seconds: float, seed: int | None, real: bool) -> None:
    """Run two releases side by side under load, kill and pause processes of both, and check the data afterward."""
    seed = random.randrange(10**6) if seed is None else seed
    if real:
        os.environ[engines.WANTED] = "1"
    try:
        release = install(latest_version())
    except NotInstallable as error:
        raise click.ClickException(str(error)) from None
    shared = sorted(catalog().keys() & {path.name for path in (release.code / "services").iterdir()})
    if only and only not in shared:
        raise click.UsageError(f"release {release.version} has no service {only!r}; it has {', '.join(shared)}")
    repeat = f"python -m tests.faults.mixed --seed {seed} --seconds {seconds:g}" + (" --engines" if real else "")
    passed = True
    for mix in [[name] for name in shared] if pairs else [[only] if only else shared]:
        passed &= run(release, mix, seed, seconds, repeat + (f" --only {mix[0]}" if only or pairs else ""))
    sys.exit(0 if passed else 1)


if __name__ == "__main__":
    main()
