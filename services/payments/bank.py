"""The bank of the test provider: a page on which the buyer approves or refuses a payment with `tok_action`.

    GET page ─► POST approve or refuse ─► the ledger, and a hint to the job of webhooks ─► 303 to the order in the shop

As at a bank, whoever has the address may answer: it holds the id of the payment, which nobody guesses.
"""

from string import Template

from chassis import clock
from chassis.errors import NotFound
from chassis.money import decimal_string
from chassis.store import Doc
from chassis.web.api import ANYONE, Api, Content, Response
from services.payments import repository, webhooks
from services.payments.providers.test import TestProvider, ledger
from services.payments.settings import settings

bank_api = Api()

HTML = "text/html; charset=utf-8"
_PAGE = Template("""<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>Test bank</title></head>
<body>
<main>
<h1>Test bank</h1>
<p>Your shop asks for $amount $currency. No money is moved.</p>
<form method="post" action="$id/approve"><button>Approve</button></form>
<form method="post" action="$id/refuse"><button>Refuse</button></form>
</main>
</body>
</html>
""")
_HEADERS = {"Cache-Control": "no-store", "Content-Security-Policy": "default-src 'none'; form-action 'self'"}


@bank_api.get("/api/payments/bank/{id}", auth=ANYONE, responses={200: Content}, errors=(NotFound,), media_types=(HTML,))
def show_bank(id: str) -> Response:
    """Show the page on which a buyer plays with the test provider; with another provider there is none."""
    payment = _asked(id)
    amount = decimal_string(payment["amount"], payment["currency"])
    page = _PAGE.substitute(id=payment["_id"], amount=amount, currency=payment["currency"])
    return Response(Content(page.encode(), HTML), headers=_HEADERS)


@bank_api.post(
    "/api/payments/bank/{id}/approve", auth=ANYONE, responses={303: None}, errors=(NotFound,), idempotent=False
)
def approve_payment(id: str) -> Response:
    """Approve a payment at the test bank, and go back to the shop."""
    return _answer(id, approves=True)


@bank_api.post(
    "/api/payments/bank/{id}/refuse", auth=ANYONE, responses={303: None}, errors=(NotFound,), idempotent=False
)
def refuse_payment(id: str) -> Response:
    """Refuse a payment at the test bank, and go back to the shop."""
    return _answer(id, approves=False)


def _answer(id: str, approves: bool) -> Response:
    payment = _asked(id)
    TestProvider().answer(id, approves)
    webhooks.keep(clock.new_id(), payment["_id"])
    return Response(status=303, headers={"Location": f"{settings().public_url.rstrip('/')}/shop/orders/{id}"})


def _asked(id: str) -> Doc:
    """Return a payment that the buyer was asked to confirm. Raises NotFound."""
    if settings().payment_provider != "test" or not (ledger.get(id) or {}).get("asked"):
        raise NotFound("payment")
    return repository.get(id)
