"""What `helm test` runs in the cluster: an administrator adds a product, a shopper buys it, and the order is confirmed.

The argument is the administrator's e-mail address. What was made is taken away again, but for the order.
"""

import os
import sys
from typing import Any

import click
import requests

from chassis import clock

PATIENCE = 60.0
PASSWORD = "correct horse battery"  # noqa: S105  of an account made for this run

session = requests.Session()
session.trust_env = False


def ask(method: str, service: str, path: str, token: str = "", body: dict[str, Any] | None = None) -> Any:
    """The answer's body. Exits where it is none of the 2xx."""
    headers = {"Idempotency-Key": clock.new_id()} if method == "POST" else {}
    if token:
        headers["Authorization"] = f"Bearer {token}"
    answer = session.request(method, f"http://{service}/api/{path}", json=body, headers=headers, timeout=10)
    click.echo(f"{method} /api/{path}: {answer.status_code}")
    if not answer.ok:
        sys.exit(answer.text)
    return answer.json() if answer.content else None


def sign_in(email: str, password: str) -> str:
    token: str = ask("POST", "users", "auth/login", body={"email": email, "password": password})["accessToken"]
    return token


admin = sign_in(sys.argv[1], os.environ["ADMIN_PASSWORD"])
product = ask("POST", "products", "products", admin, {"name": "Sample", "price": "1.00", "stock": 1})["id"]
account = {"email": f"{clock.new_id().lower()}@test.example", "name": "Test", "password": PASSWORD}
user = ask("POST", "users", "users", body=account)["id"]
try:
    shopper = sign_in(account["email"], PASSWORD)
    order = ask("POST", "orders", "orders", shopper, {"productId": product, "quantity": 1})
    until = clock.monotonic() + PATIENCE
    while order["status"] == "pending" and clock.monotonic() < until:
        clock.sleep(0.5)
        order = ask("GET", "orders", f"orders/{order['id']}", shopper)
finally:
    ask("DELETE", "products", f"products/{product}", admin)
    ask("DELETE", "users", f"users/{user}", admin)
click.echo(f"the order is {order['status']}")
sys.exit(order["status"] != "confirmed")
