"""A Stripe on loopback that keeps state: intents, idempotency keys, refunds, 3-D Secure, signed webhooks.

    with FakeStripe() as stripe:
        stripe.fault = lambda method, path: "lose"      # do it, and close the connection without an answer
        ...
        stripe.charged("o1")                            # minor units, of all intents of this order

PaymentMethods: pm_ok, pm_declined, pm_insufficient_funds, pm_action (3-D Secure), pm_processing; others do not exist.
"""

import json
import threading
from collections.abc import Callable
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self
from urllib.parse import parse_qsl, urlsplit

from chassis import clock

PAGE = 3
"""Intents of one page of a list; Stripe gives 100."""
SECRET = "whsec_of_the_tests"
_DECLINES = {"pm_declined": "generic_decline", "pm_insufficient_funds": "insufficient_funds"}
_CHARGING = {"pm_ok": "succeeded", "pm_action": "requires_action", "pm_processing": "processing"}
Json = dict[str, Any]


class Refused(Exception):
    """An answer with an error."""

    def __init__(self, status: int, type: str, code: str = "", **more: Any) -> None:
        super().__init__(code)
        self.status, self.body = status, {"error": {"type": type, "code": code, "message": code, **more}}


class FakeStripe:
    """The server. `fault(method, path)` is asked before each request: "", "refuse", "lose", "fail" or "hang"."""

    def __init__(self) -> None:
        self.intents: dict[str, Json] = {}
        self.requests: list[tuple[str, str]] = []
        self.fault: Callable[[str, str], str] = lambda method, path: ""
        self.hangs, self.page = threading.Event(), PAGE
        self._keys: dict[str, tuple[Json, int, Json]] = {}
        self._lock, self._number = threading.RLock(), 0
        fake = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version, disable_nagle_algorithm = "HTTP/1.1", True

            def do_GET(self) -> None:  # noqa: N802  the name of http.server
                fake._serve(self, "GET")

            def do_POST(self) -> None:  # noqa: N802
                fake._serve(self, "POST")

            def log_message(self, *_: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}"

    def of(self, order: str) -> list[Json]:
        """Return the intents of an order."""
        return [each for each in self.intents.values() if each["metadata"]["order"] == order]

    def charged(self, order: str) -> int:
        return sum(each["amount_received"] for each in self.of(order))

    def refunded(self, order: str) -> int:
        return sum(each["latest_charge"]["amount_refunded"] for each in self.of(order) if each["latest_charge"])

    def forget_keys(self) -> None:
        """Forget the idempotency keys, as Stripe does after a day."""
        self._keys.clear()

    def authenticate(self, order: str, succeeds: bool = True) -> None:
        """The buyer answers the bank; or a payment in process ends."""
        for intent in self.of(order):
            if intent["status"] in ("requires_action", "processing"):
                self._charge(intent) if succeeds else self._decline(intent, "authentication_required")

    def refund_by_hand(self, order: str, amount: int) -> None:
        """Refund a part, as the owner of the shop can in Stripe's dashboard."""
        self.of(order)[0]["latest_charge"]["amount_refunded"] += amount

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.hangs.set()
        self._server.shutdown()
        self._server.server_close()

    def _serve(self, request: BaseHTTPRequestHandler, method: str) -> None:
        path = urlsplit(request.path).path.removeprefix("/v1")
        length = int(request.headers.get("Content-Length") or 0)
        given = urlsplit(request.path).query or request.rfile.read(length).decode()
        params = dict(parse_qsl(given, keep_blank_values=True))
        self.requests.append((method, path))
        fault = self.fault(method, path)
        if fault == "hang":
            self.hangs.wait(30)
        if fault in ("refuse", "hang"):
            request.close_connection = True
            return
        status, body = (
            (500, {"error": {"type": "api_error"}})
            if fault == "fail"
            else self._once(method, path, params, request.headers.get("Idempotency-Key", ""))
        )
        if fault == "lose":
            request.close_connection = True
            return
        data = json.dumps(body).encode()
        with suppress(OSError):
            request.send_response(status)
            request.send_header("Content-Type", "application/json")
            request.send_header("Content-Length", str(len(data)))
            request.end_headers()
            request.wfile.write(data)

    def _once(self, method: str, path: str, params: Json, key: str) -> tuple[int, Json]:
        with self._lock:
            if key in self._keys:
                known, status, body = self._keys[key]
                if known != {"path": path, **params}:
                    return 400, {"error": {"type": "idempotency_error", "message": "another request had this key"}}
                return status, body
            try:
                status, body = 200, json.loads(json.dumps(self._handle(method, path, params)))
            except Refused as refused:
                status, body = refused.status, refused.body
            if key:
                self._keys[key] = ({"path": path, **params}, status, body)
            return status, body

    def _handle(self, method: str, path: str, params: Json) -> Json:
        match method, path.strip("/").split("/"):
            case "POST", ["payment_intents"]:
                return self._create(params)
            case "GET", ["payment_intents"]:
                listed = list(reversed(self.intents.values()))
                ids = [each["id"] for each in listed]
                start = ids.index(params["starting_after"]) + 1 if "starting_after" in params else 0
                page = listed[start : start + self.page]
                return {"object": "list", "url": path, "data": page, "has_more": len(listed) > start + self.page}
            case "GET", ["payment_intents", "search"]:  # its index is minutes behind: it knows nothing of a test
                return {"object": "search_result", "url": path, "data": [], "has_more": False, "next_page": None}
            case "GET", ["payment_intents", id]:
                return self._known(id)
            case "POST", ["payment_intents", id, "confirm"]:
                return self._confirm(self._known(id), params["payment_method"], params.get("return_url", ""))
            case "POST", ["payment_intents", id, "cancel"]:
                intent = self._known(id)
                self._require(intent, "requires_payment_method", "requires_confirmation", "requires_action")
                return self._set(intent, status="canceled", next_action=None)
            case "POST", ["refunds"]:
                return self._refund(self._known(params["payment_intent"]), params)
        raise Refused(404, "invalid_request_error", "resource_missing")

    def _create(self, params: Json) -> Json:
        self._number += 1
        id = f"pi_{self._number}"
        self.intents[id] = intent = {
            "id": id,
            "object": "payment_intent",
            "amount": int(params["amount"]),
            "currency": params["currency"],
            "metadata": {"order": params["metadata[order]"]},
            "status": "requires_payment_method",
            "amount_received": 0,
            "last_payment_error": None,
            "next_action": None,
            "redirects": params["automatic_payment_methods[allow_redirects]"],
            "latest_charge": None,
            "created": int(clock.now().timestamp()),
        }
        return intent

    def _confirm(self, intent: Json, method: str, return_url: str) -> Json:
        self._require(intent, "requires_payment_method", "requires_confirmation")
        if intent["redirects"] == "always" and not return_url:
            raise Refused(400, "invalid_request_error", "parameter_missing", param="return_url")
        if code := _DECLINES.get(method):
            self._decline(intent, code)
            raise Refused(402, "card_error", "card_declined", decline_code=code, payment_intent=intent)
        if method not in _CHARGING:
            raise Refused(400, "invalid_request_error", "resource_missing", param="payment_method")
        status = _CHARGING[method]
        if status == "succeeded":
            return self._charge(intent)
        redirect = {"url": f"https://bank.example/{intent['id']}", "return_url": return_url}
        asked = {"type": "redirect_to_url", "redirect_to_url": redirect} if status == "requires_action" else None
        return self._set(intent, status=status, next_action=asked)

    def _refund(self, intent: Json, params: Json) -> Json:
        charge = intent["latest_charge"]
        left = intent["amount_received"] - charge["amount_refunded"]
        amount = int(params.get("amount", left))
        if not left or amount > left:
            raise Refused(400, "invalid_request_error", "charge_already_refunded")
        charge["amount_refunded"] += amount
        self._number += 1
        return {"id": f"re_{self._number}", "object": "refund", "amount": amount, "status": "succeeded"}

    def _charge(self, intent: Json) -> Json:
        charge = {"id": f"ch_{intent['id']}", "object": "charge", "amount_refunded": 0}
        return self._set(
            intent, status="succeeded", next_action=None, amount_received=intent["amount"], latest_charge=charge
        )

    def _decline(self, intent: Json, code: str) -> None:
        error = {"type": "card_error", "code": "card_declined", "decline_code": code}
        self._set(intent, status="requires_payment_method", next_action=None, last_payment_error=error)

    def _known(self, id: str) -> Json:
        if id not in self.intents:
            raise Refused(404, "invalid_request_error", "resource_missing", param="intent")
        return self.intents[id]

    @staticmethod
    def _require(intent: Json, *statuses: str) -> None:
        if intent["status"] not in statuses:
            raise Refused(400, "invalid_request_error", "payment_intent_unexpected_state")

    @staticmethod
    def _set(intent: Json, **fields: Any) -> Json:
        intent.update(fields)
        return intent
