"""PREFIX: how a platform names what it has in engines that others use, too."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from chassis.bus import Topic
from chassis.bus.engines import open_bus
from chassis.settings import Settings
from chassis.store.engines import open_store


@pytest.mark.parametrize("prefix", ["-north", "North-", "north.", "a/b", 'n"', " ", "n" * 32])
def test_prefix_that_an_engine_would_not_take_is_refused(prefix: str) -> None:
    with pytest.raises(SystemExit, match="the setting PREFIX: "):
        Settings.from_environment({"PREFIX": prefix})


@pytest.mark.parametrize(("prefix", "database"), [("", "orders"), ("north-", "north-orders"), ("n", "norders")])
def test_database_has_the_prefix_and_by_default_the_name_of_its_service(prefix: str, database: str) -> None:
    store = open_store(Settings.from_environment({"MONGODB_URI": "mongodb://127.0.0.1:1", "PREFIX": prefix}), "orders")
    assert store.location == f"the MongoDB database {database}"
    store.close()


@pytest.mark.parametrize("prefix", ["", "north-"])
def test_topics_have_the_prefix_and_by_default_only_their_names(tmp_path: Path, prefix: str) -> None:
    bus = open_bus(Settings.from_environment({"DATA_DIR": str(tmp_path), "PREFIX": prefix}))
    bus.ensure_topics([Topic("orders.events"), Topic("orders.dead")])
    bus.close()
    with closing(sqlite3.connect(tmp_path / "bus.db")) as db:
        found = {name for (name,) in db.execute("SELECT name FROM topics")}
    assert found == {f"{prefix}orders.events", f"{prefix}orders.dead"}
