"""docker-compose.yml starts a working platform on the engines of a cluster, and stops it in order."""

import pytest
import requests

from mercato.catalog import catalog
from tests.containers.docker import Compose, Images
from tests.system.platform import Client, eventually, expect
from tests.system.running import ROOT, free_port

pytestmark = pytest.mark.timeout(900)
STARTUP_S = 300.0
"""For 15 containers to become ready at once on a busy machine."""


@pytest.fixture(scope="module")
def compose():
    ports = {name: str(free_port()) for name in ("PORT", "MONGODB_PORT", "KAFKA_PORT")}
    project = Compose("mercato-test", TAG="test", RATE_LIMITS="off", ADMIN_PASSWORD="of this test", **ports)
    images = Images(ROOT, "test")
    images.base()
    for name in catalog():
        images.service(name)
    try:
        project("up", "-d")
        yield project, f"http://127.0.0.1:{ports['PORT']}"
    finally:
        project("down", "--volumes", "--timeout", "0")


@pytest.fixture(scope="module")
def admin(compose):
    _, url = compose
    eventually(lambda: answers(url, catalog()), within=STARTUP_S)
    return Client(url).sign_in("admin@mercato.example", "of this test")


def answers(url, names):
    """Return whether each of these services answers through the router."""
    try:
        return all(requests.get(f"{url}/api/{name}/health", timeout=10).ok for name in names)
    except requests.ConnectionError:
        return False


def test_order_is_confirmed_and_its_events_arrive(admin):
    product = expect(admin.post("/api/products", {"name": "Lantern", "price": "12.50", "stock": 3}), 201)
    account = {"email": "ada@shop.example", "name": "Ada", "password": "correct horse"}
    expect(Client(admin.url).post("/api/users", account), 201)
    ada = Client(admin.url).sign_in(account["email"], account["password"])
    ada.buy(product, quantity=2)
    eventually(lambda: len(ada.items("/api/notifications")) == 2, within=60)
    eventually(lambda: admin.get(f"/api/products/{product['id']}").json()["stock"] == 1, within=60)


def test_every_container_is_healthy(compose, admin):
    project, _ = compose
    form = "{{if .State.Health}}{{.State.Health.Status}}{{else}}exit {{.State.ExitCode}}{{end}}"
    expected = {"healthy", "exit 0"}  # the latter is the container that creates the administrator
    eventually(lambda: set(project.states(form).values()) <= expected, within=STARTUP_S)


def test_restarted_platform_has_its_data(compose, admin):
    project, url = compose
    project("stop")
    ended = project.states("{{.State.ExitCode}}")
    assert {name: code for name, code in ended.items() if code != "0" and "kafka" not in name} == {}
    project("up", "-d")
    eventually(lambda: answers(url, catalog()), within=STARTUP_S)
    again = Client(url).sign_in("admin@mercato.example", "of this test")
    assert [each["name"] for each in again.items("/api/products")] == ["Lantern"]
