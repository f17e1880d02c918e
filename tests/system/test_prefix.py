"""Platforms with a prefix: several on the same engines, and stores that are not theirs."""

from contextlib import closing
from pathlib import Path

import pytest
from kafka import KafkaAdminClient
from pymongo import MongoClient

from chassis.store.format import check_format
from chassis.store.sqlite.store import SqliteStore
from mercato.catalog import catalog
from tests import engines
from tests.system import toys
from tests.system.platform import Shop, expect
from tests.system.running import Platform, eventually


@pytest.mark.embedded
@pytest.mark.parametrize("command", [("up",), ("up", "--detach")])
def test_up_refuses_a_store_of_another_prefix_before_it_starts_anything(tmp_path: Path, command: list[str]) -> None:
    file = tmp_path / "data" / "store" / "shop.db"
    file.parent.mkdir(parents=True)
    with closing(SqliteStore(file)) as store:
        check_format(store, "north-")
    platform = toys.platform(tmp_path, PREFIX="south-")
    refused = platform.mercato(*command)
    assert refused.returncode == 1
    assert refused.stderr == (
        f"mercato: the store {file} belongs to a platform with PREFIX=north-, not PREFIX=south-: "
        "set PREFIX=north-, or set DATA_DIR to a new folder, or move the old one away\n"
    )
    assert not platform.run()


@pytest.mark.nightly
def test_two_platforms_on_the_same_engines_are_two_shops(tmp_path: Path) -> None:
    if not engines.wanted():
        pytest.skip("needs --engines")
    pair = engines.pair()
    shops = []
    for name, prefix in (("one", "north-"), ("other", "")):
        (tmp_path / name).mkdir()
        shops.append(Shop(tmp_path / name, pair, PREFIX=prefix, RATE_LIMITS="off"))
    try:
        north, plain = (shop.up() for shop in shops)
        buyer = north.shopper()
        product = north.product(stock=3)
        buyer.buy(product, 2)
        eventually(lambda: len(buyer.items("/api/notifications")) == 2)
        assert north.stock(product) == (1, 0, 2)

        body = {"email": buyer.email, "password": buyer.password}
        assert plain.guest().post("/api/auth/login", body).status_code == 401
        assert plain.guest().get("/api/users/me", headers={"Authorization": f"Bearer {buyer.token}"}).status_code == 401
        assert not plain.guest().items("/api/products")
        assert not plain.admin().items("/api/orders")
        expect(plain.admin().get(f"/api/inventory/{product['id']}"), 404)

        with closing(KafkaAdminClient(bootstrap_servers=pair.servers)) as admin:
            topics = {topic for topic in admin.list_topics() if not topic.startswith("__")}
        names = {f"{name}.{kind}" for name in catalog() for kind in ("events", "dead")}
        assert topics == {prefix + name for prefix in ("north-", "") for name in names}
        with MongoClient(pair.uri, timeoutMS=10_000) as client:
            databases = set(client.list_database_names()) - {"admin", "config", "local"}
        assert databases == {prefix + name for prefix in ("north-", "") for name in catalog()}
    finally:
        Platform.down(shops[1])
        shops[0].down()
