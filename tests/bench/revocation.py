"""Time from the response to a change of credentials until the services that hear of it refuse the old access token."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

from chassis import clock
from tests.bench.shop import running_shop
from tests.system.platform import Client, Shop

GOAL_S = 2.0
PATHS = ("/api/orders", "/api/payments", "/api/notifications")
USERS, FEW_USERS = 20, 5
POLL_S = 0.02


def run(short: bool) -> list[dict[str, Any]]:
    """Change passwords one after another; return the longest delay of any service."""
    with running_shop() as shop:
        delays_s = [delay for _ in range(FEW_USERS if short else USERS) for delay in _delays_s(shop)]
    worst = max(delays_s)
    row = {"name": "password changed to token refused, max", "value": round(worst, 2), "unit": "s"}
    return [row | {"bar": f"<= {GOAL_S:g}", "goal": True, "ok": worst <= GOAL_S}]


def _delays_s(shop: Shop) -> list[float]:
    """Return the delay of each service for one user."""
    owner = shop.shopper()
    with ThreadPoolExecutor(len(PATHS)) as pool:
        assert owner.change_credentials(password="quite another horse").status_code == 200
        changed = clock.monotonic()
        waits = [pool.submit(_wait_until_refused, shop.url, owner.token, path) for path in PATHS]
        return [wait.result() - changed for wait in waits]


def _wait_until_refused(url: str, token: str, path: str) -> float:
    client = Client(url, token)
    while client.get(path).status_code != 401:
        clock.sleep(POLL_S)
    return clock.monotonic()
