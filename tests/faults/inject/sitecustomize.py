"""Kills a process of the platform under test at an exact point.

With this folder on the platform's PYTHONPATH, Python imports this file in the fork server of the platform's processes.

The file `$DATA_DIR/crash.<service>-<kind>` arms one crash; when the crash fires, the file is renamed to `.fired`:

    {"point": "do take payment", "when": "after", "target": "self", "signal": "KILL"}

Points are the steps of a saga (`do <step>`, `undo <step>`), every write of a document (`<collection>.insert`,
`.update`, `.delete`), `publish` to the bus and `commit` of offsets. `target` is `self`, or `parent` for gunicorn's
master. The signal `HOLD` blocks the thread while the file `crash.<service>-<kind>.fired` exists, so that a test can
stop the process at that point at a moment without a lock on the store.

While the file `$DATA_DIR/defect.<service>` exists, the service cannot insert a notification that contains its text.
"""

import json
import os
import signal
import sys
import time
from collections.abc import Callable
from multiprocessing import current_process
from pathlib import Path
from typing import Any


def _fire(crash: dict[str, str], fired: Path) -> None:
    if crash["signal"] == "HOLD":
        while fired.exists():
            time.sleep(0.01)
        return
    target = os.getppid() if crash["target"] == "parent" else os.getpid()
    os.kill(target, getattr(signal, f"SIG{crash['signal']}"))


def _bus_classes() -> tuple[type, type]:
    if os.environ.get("KAFKA_BOOTSTRAP_SERVERS"):
        from chassis.bus.kafka.bus import KafkaBus
        from chassis.bus.kafka.consumer import KafkaConsumer

        return KafkaBus, KafkaConsumer
    from chassis.bus.sqlite.bus import SqliteBus
    from chassis.bus.sqlite.consumer import SqliteConsumer

    return SqliteBus, SqliteConsumer


def _fail_if_defective(data_dir: Path, collection: str, doc: Any) -> None:
    defect = data_dir / f"defect.{current_process().name.partition('-')[0]}"
    if collection == "notifications" and defect.exists() and defect.read_text() in json.dumps(doc):
        raise ValueError("a defect")


def _install(data_dir: Path) -> None:
    from chassis.sagas.driver import Driver
    from chassis.store import Collection

    def reached(point: str, when: str) -> None:
        path = data_dir / f"crash.{current_process().name}"
        try:
            crash = json.loads(path.read_text())
        except FileNotFoundError:
            return
        if (crash["point"], crash["when"]) != (point, when):
            return
        try:
            path.rename(f"{path}.fired")
        except FileNotFoundError:
            return  # another thread has fired it
        _fire(crash, Path(f"{path}.fired"))

    def wrap(owner: Any, method: str, point: Callable[..., str]) -> None:
        original = getattr(owner, method)

        def wrapped(self: Any, *args: Any, **kwargs: Any) -> Any:
            name = point(self, *args)
            reached(name, "before")
            result = original(self, *args, **kwargs)
            reached(name, "after")
            return result

        setattr(owner, method, wrapped)

    def insert(collection: Any, doc: Any, *_: Any) -> str:
        _fail_if_defective(data_dir, collection.name, doc)
        return f"{collection.name}.insert"

    def step(driver: Any, saga: Any, id: str, state: Any, ends: Any) -> str:
        return f"{'undo' if state.undoing else 'do'} {saga.steps[state.step].name}"

    wrap(Driver, "_perform", step)
    wrap(Collection, "insert", insert)
    for method in ("update", "delete"):
        wrap(Collection, method, lambda collection, *_, method=method: f"{collection.name}.{method}")
    wrap(Collection, "bulk_update", lambda collection, *_: f"{collection.name}.update")
    bus, consumer = _bus_classes()
    wrap(bus, "publish", lambda *_: "publish")
    wrap(consumer, "commit", lambda *_: "commit")


if "multiprocessing.forkserver" in sys.orig_argv[-1]:
    _install(Path(os.environ["DATA_DIR"]))
