"""`make record-release version=0.2.0`: records what a release promises to later ones, in `tests/releases/<version>/`.

    release.json                 version, commit and time
    contracts/<service>/         OpenAPI and AsyncAPI documents, as committed
    sagas/<saga>/<step>-<outcome>.json   the document of a saga right after each outcome of each step
    mercato-<version>.tgz        the packed chart

A recording is never edited: tests read stored sagas of every release with the present code, and compare its contracts.
"""

import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from chassis import clock
from chassis.errors import DomainError, NotAttempted, OutcomeUnknown
from chassis.sagas import BLOCKING_DEFECTS, MIN_BLOCKING_S, Defect, Done, Outcome, Saga, State, Step
from chassis.sagas.driver import NEVER_DUE, Driver
from chassis.store import Collection, Doc
from chassis.store.sqlite.store import SqliteStore
from chassis.testing import FakeClock
from services.orders.checkout import checkout, sagas
from tests.system.running import ROOT

FOLDER = Path(__file__).parent
PAYLOAD = {
    "order_id": "o1",
    "user_id": "u1",
    "items": [{"productId": "p1", "name": "Kettle", "quantity": 2, "price": "19.99"}],
    "lines": [{"productId": "p1", "quantity": 2}],
    "total": 3998,
    "total_amount": "39.98",
    "currency": "EUR",
    "payment_token": "tok_ok",
}
"""The payload of a checkout, as `POST /api/orders` makes it."""
REPLIES = {"take payment": {"payment_id": "o1"}}
"""Step -> what its reply adds to the payload."""
LEASE_S = 10.0


@click.command()
@click.argument("version")
def main(version: str) -> None:
    """Record this version; refuse one that was recorded before."""
    folder = FOLDER / version
    if folder.exists():
        raise click.ClickException(
            f"{version} is recorded in {folder.relative_to(ROOT)}; a recording is never replaced"
        )
    helm = shutil.which("helm")
    if helm is None:
        raise click.ClickException("helm is needed to pack the chart")
    clock.use(FakeClock())
    with tempfile.TemporaryDirectory() as temporary:
        recording = Path(temporary) / version
        for contract in sorted(ROOT.glob("services/*/contract/*")):
            copy = recording / "contracts" / contract.parts[-3] / contract.name
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(contract, copy)
        for name, document in recorded_sagas(checkout, sagas, Path(temporary) / "store.db"):
            _write(recording / "sagas" / checkout.name / f"{name}.json", document)
        package = [helm, "package", str(ROOT / "charts" / "mercato"), "--destination", str(recording)]
        subprocess.run(package, check=True, stdout=subprocess.DEVNULL)
        head = subprocess.run(["git", "rev-parse", "HEAD"], cwd=ROOT, check=True, capture_output=True, text=True)
        made = clock.Clock().now().date().isoformat()
        _write(recording / "release.json", {"version": version, "commit": head.stdout.strip(), "date": made})
        shutil.copytree(recording, folder)
    click.echo(f"recorded {version} in {folder.relative_to(ROOT)}", file=sys.stderr)


def recorded_sagas(saga: Saga, collection: Collection, file: Path) -> Iterator[tuple[str, Doc]]:
    """Yield (name, stored document) for each outcome of each step, done and undone."""
    collection.attach(SqliteStore(file))
    collection.ensure_indexes()
    driver = Driver(saga, collection, lambda: LEASE_S)
    for number, step in enumerate(saga.steps):
        before: list[Outcome] = [_done(each) for each in saga.steps[:number]]
        for name, outcome in _outcomes(step):
            yield f"{_slug(step)}-{name}", _record(driver, [*before, outcome])
        if step.time_limit_s is None or step.time_limit_s > MIN_BLOCKING_S:
            defect = Defect(f"TypeError in {step.name}")
            yield (
                f"{_slug(step)}-blocked",
                _block(driver, _record(driver, [*before, *[defect] * BLOCKING_DEFECTS]), defect),
            )
        rejected = _rejection(step)
        if rejected and number:
            undone: list[Outcome] = []
            for each in reversed([each for each in saga.steps[:number] if each.undo]):
                name = f"{_slug(step)}-rejected-{_slug(each)}"
                failed = OutcomeUnknown(f"{each.name} does not answer")
                yield f"{name}-undo-failed", _record(driver, [*before, rejected, *undone, failed])
                undone.append(Done())
                yield f"{name}-undone", _record(driver, [*before, rejected, *undone])


def _record(driver: Driver, outcomes: list[Outcome]) -> Doc:
    """Return the document that a driver has stored after these outcomes of a new saga."""
    driver.collection.delete("o1")
    doc = driver.open("o1", dict(PAYLOAD), "u1 0")
    for outcome in outcomes:
        state = driver.saga.advance(State.from_doc(doc), outcome)
        doc = driver._write(doc, state, due=clock.timestamp_in(LEASE_S))
    return doc


def _block(driver: Driver, doc: Doc, defect: Defect) -> Doc:
    """Return the document after another defect, so long after the beginning of the step that it is blocked."""
    state = replace(State.from_doc(doc), step_started_at=clock.timestamp_ago(MIN_BLOCKING_S))
    return driver._write(doc, driver.saga.advance(state, defect), due=NEVER_DUE)


def _outcomes(step: Step) -> Iterator[tuple[str, Outcome]]:
    yield "done", _done(step)
    yield "not-attempted", NotAttempted("circuit open")
    yield "unknown", OutcomeUnknown("no response in time")
    yield "failed", Defect(f"TypeError in {step.name}")
    if rejected := _rejection(step):
        yield "rejected", rejected


def _rejection(step: Step) -> DomainError | None:
    """Return the first error that the step declares."""
    declared = (*getattr(step.do, "errors", ()), *step.errors)
    return declared[0].rebuild("Recorded.", {}) if declared else None


def _done(step: Step) -> Done:
    return Done(dict(REPLIES.get(step.name, {})))


def _slug(step: Step) -> str:
    return step.name.replace(" ", "-")


def _write(path: Path, value: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value, indent=2, sort_keys=True) + "\n")


if __name__ == "__main__":
    main()
