"""The test of `helm test`: an administrator adds a product, a shopper buys it, and the order is confirmed.

The argument is the administrator's e-mail address. The script deletes what it creates, except the order.
"""

import os
import sys
from typing import Any

import click
import requests

from chassis import clock

TIMEOUT_S = 60.0
PASSWORD = "correct horse battery"  # noqa: S105  of an account that exists during this run only

session = requests.Session()
session.trust_env = False


def call(method: str, service: str, path: str, token: str = "", body: dict[str, Any] | None = None) -> Any:
    """Return the body of the response; exit unless the status is 2xx."""
    headers = {"Idempotency-Key": clock.new_id()} if method == "POST" else {}
    if token:
        headers["Authorization"] = f"Bearer {token}"
    response = session.request(method, f"http://{service}/api/{path}", json=body, headers=headers, timeout=10)
    click.echo(f"{method} /api/{path}: {response.status_code}")
    if not response.ok:
        sys.exit(response.text)
    return response.json() if response.content else None


def sign_in(email: str, password: str) -> str:
    token: str = call("POST", "users", "auth/login", body={"email": email, "password": password})["accessToken"]
    return token


admin_password = os.environ["ADMIN_PASSWORD"]
admin = sign_in(sys.argv[1], admin_password)
product = call("POST", "products", "products", admin, {"name": "Sample", "price": "1.00", "stock": 1})["id"]
account = {"email": f"{clock.new_id().lower()}@test.example", "name": "Test", "password": PASSWORD}
user = call("POST", "users", "users", body=account)["id"]
try:
    shopper = sign_in(account["email"], PASSWORD)
    order = call("POST", "orders", "orders", shopper, {"productId": product, "quantity": 1})
    deadline = clock.monotonic() + TIMEOUT_S
    while order["status"] == "pending" and clock.monotonic() < deadline:
        clock.sleep(0.5)
        order = call("GET", "orders", f"orders/{order['id']}", shopper)
finally:
    call("DELETE", "products", f"products/{product}", admin)
    call("DELETE", "users", f"users/{user}", admin, {"currentPassword": admin_password})
click.echo(f"the order is {order['status']}")
sys.exit(order["status"] != "confirmed")
