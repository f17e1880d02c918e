"""Domain errors: named after their class, and the same on both sides of a call."""

import pytest

from chassis import deadline
from chassis.errors import DomainError, ErrorCategory, NotFound, rebuild
from chassis.messages import Command
from tests.faults.stub_server import http_response, respond_with, stub_server


class OutOfPaper(DomainError):
    """There is not enough paper."""

    def __init__(self, sheets: int) -> None:
        super().__init__(f"Only {sheets} sheets left.", sheets=sheets)


class Jammed(DomainError, kind="paper_jam", title="Paper jam", category=ErrorCategory.FORBIDDEN):
    """The printer is jammed."""


def parts(error):
    return error.kind, error.title, error.detail, error.extra, error.category, str(error)


def test_kind_and_title_follow_from_the_class_name():
    assert (OutOfPaper.kind, OutOfPaper.title, OutOfPaper.category) == (
        "out_of_paper",
        "Out of paper",
        ErrorCategory.CONFLICT,
    )


def test_declared_kind_title_and_category_win():
    assert parts(Jammed()) == ("paper_jam", "Paper jam", "", {}, ErrorCategory.FORBIDDEN, "Paper jam")


def test_rebuild_returns_the_class_of_the_kind():
    sent = OutOfPaper(3)
    received = rebuild((Jammed, OutOfPaper, NotFound), sent.kind, sent.title, sent.detail, sent.extra)
    assert type(received) is OutOfPaper
    assert parts(received) == parts(sent)


def test_rebuild_of_an_undeclared_kind_is_a_plain_domain_error():
    received = rebuild((Jammed,), "no_ink", "No ink", "Buy some.", {"color": "cyan"})
    assert type(received) is DomainError
    assert parts(received)[:4] == ("no_ink", "No ink", "Buy some.", {"color": "cyan"})
    assert DomainError.kind == "domain_error"


class UnknownFormat(DomainError, category=ErrorCategory.INVALID):
    """The format of the paper is unknown."""


class Print(Command, errors=(OutOfPaper, UnknownFormat)):
    """Print a page."""


Print.service = "stub"


@pytest.mark.parametrize(
    ("kind", "status", "expected"),
    [
        ("out-of-paper", 409, OutOfPaper),
        ("unknown-format", 422, UnknownFormat),
        ("not-found", 404, NotFound),
        ("no-ink", 409, DomainError),
    ],
)
def test_caller_gets_the_error_that_the_command_declares(kind, status, expected):
    problem = f'{{"type": "/problems/{kind}", "title": "T", "status": {status}, "detail": "D", "sheets": 3}}'
    server = stub_server(respond_with(http_response(status, problem)))
    with server as (_, client), deadline.within(5), pytest.raises(DomainError) as error:
        client.send(Print(), "key", 1)
    assert type(error.value) is expected
    assert parts(error.value)[:4] == (kind.replace("-", "_"), "T", "D", {"sheets": 3})
