"""The requests of the provider `stripe` have shapes that Stripe accepts: stripe-mock checks each against Stripe's API.

It keeps no state and answers with examples. So an answer takes the state that the next request needs.
"""

import json
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import requests

from chassis import deadline
from chassis.errors import OutcomeUnknown
from chassis.store.sqlite.store import SqliteStore
from services.payments.messages import PaymentDeclined
from services.payments.providers import stripe as stripe_module
from services.payments.providers import stripe_http
from services.payments.providers.stripe import StripeProvider
from services.payments.providers.stripe_records import intents
from services.payments.settings import PaymentsSettings
from tests.charts.rendering import tool
from tests.system.running import eventually, free_port

pytestmark = pytest.mark.any_engine


class Exchanges:
    """The requests that were sent, and those that were refused; `state` replaces fields of the answered intents."""

    def __init__(self) -> None:
        self.sent, self.refused = set[str](), list[str]()
        self.state: dict[str, Any] = {}

    def request(self, send: Any, method: str, url: str, *arguments: Any, **options: Any) -> Any:
        body, status, headers = send(method, url, *arguments, **options)
        answer = json.loads(body)
        if answer.get("object") == "payment_intent":
            answer |= self.state
        if status != 200:
            self.refused.append(f"{method} {url}: {answer}")
        path = url.partition("/v1/")[2].partition("?")[0].replace(str(answer.get("id")), "{id}")
        self.sent.add(f"{method} {path}")
        return json.dumps(answer), status, headers


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    """The address of a stripe-mock."""
    ports = [free_port() for _ in range(2)]
    addresses = [f"127.0.0.1:{port}" for port in ports]
    with subprocess.Popen(
        [tool("stripe-mock"), "-http-addr", addresses[0], "-https-addr", addresses[1]], stdout=subprocess.DEVNULL
    ) as process:
        try:
            eventually(lambda: answers(f"http://{addresses[0]}"))
            yield f"http://{addresses[0]}"
        finally:
            process.terminate()


def answers(url: str) -> bool:
    with suppress(requests.ConnectionError):
        return requests.get(f"{url}/v1/charges", timeout=10).status_code == 401
    return False


@pytest.fixture
def exchanges(url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Exchanges]:
    chosen = PaymentsSettings(payment_provider="stripe", stripe_api_key="sk_test_1", stripe_api_base=url)
    for module in (stripe_module, stripe_http):
        monkeypatch.setattr(module, "settings", lambda: chosen)
    noted, send = Exchanges(), stripe_http.HttpClient.request
    monkeypatch.setattr(
        stripe_http.HttpClient, "request", lambda self, *a, **o: noted.request(send.__get__(self), *a, **o)
    )
    store = SqliteStore(tmp_path / "payments.db")
    intents.attach(store).ensure_indexes()
    yield noted
    store.close()


def test_stripe_accepts_the_shape_of_each_request(exchanges: Exchanges) -> None:
    provider = StripeProvider()
    untried, asked = {"status": "requires_payment_method", "last_payment_error": None}, {"status": "requires_action"}
    for state, order in ((untried, "o1"), (asked, "o2")):
        exchanges.state = state
        for waits in (False, True):
            with deadline.within(10), suppress(PaymentDeclined, OutcomeUnknown):
                provider.charge(order, 3000, "EUR", "pm_card_visa", waits)
    with suppress(OutcomeUnknown):
        provider.cancel("o1")
    exchanges.state = {"status": "succeeded", "amount_received": 3000}
    for call in (provider.find, provider.refusal, provider.refund, provider.cancel):
        call("o1")
    list(provider.held_since(datetime(2026, 1, 1, tzinfo=UTC)))
    assert not exchanges.refused
    assert exchanges.sent == {
        "post payment_intents",
        "get payment_intents",
        "get payment_intents/{id}",
        "post payment_intents/{id}/confirm",
        "post payment_intents/{id}/cancel",
        "post refunds",
    }
