"""Errors as responses: their status, and what a client learns of one that nobody expected."""

import orjson
import pytest

from chassis.errors import DomainError, ErrorCategory, NotFound
from chassis.settings import Settings
from chassis.web import problems


class PaymentDeclined(DomainError, category=ErrorCategory.PAYMENT_REQUIRED):
    """The payment was declined."""


def respond(error, declared=(), is_command=False):
    response = problems.to_response(error, "/api/users", declared, is_command)
    return response.status_code, orjson.loads(response.get_data())


@pytest.fixture(params=["on", "off"])
def strict_errors(request, monkeypatch):
    monkeypatch.setattr(problems, "settings", lambda: Settings(strict_errors=request.param))
    return request.param


def test_text_of_a_defect_stays_inside():
    status, problem = respond(RuntimeError("no such table: accounts"))
    assert (status, problem["title"]) == (500, "Internal error")
    assert "table" not in str(problem)


def test_category_decides_the_status_of_a_route(strict_errors):
    status, problem = respond(PaymentDeclined("No money.", reason="broke"), (PaymentDeclined,))
    assert (status, problem["status"], problem["type"]) == (402, 402, "/problems/payment-declined")
    assert (problem["title"], problem["detail"], problem["reason"]) == ("Payment declined", "No money.", "broke")


def test_decision_of_a_command_is_no_error_of_the_calling_service(strict_errors):
    assert respond(PaymentDeclined(), (PaymentDeclined,), is_command=True)[0] == 409
    assert respond(NotFound("user"), (NotFound,), is_command=True)[0] == 404


def test_undeclared_error_is_a_defect_only_under_strict_errors(strict_errors):
    status, problem = respond(PaymentDeclined("No money."), (NotFound,))
    if strict_errors == "on":
        assert (status, problem["title"], "money" in str(problem)) == (500, "Internal error", False)
    else:
        assert (status, problem["type"]) == (402, "/problems/payment-declined")


def test_every_category_has_a_status():
    assert set(problems.STATUS) == set(problems.COMMAND_STATUS) == set(ErrorCategory)
