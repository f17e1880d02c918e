"""Requests that schemathesis makes of the OpenAPI documents, sent to a running platform and judged by its checks.

It only makes and sends: what is good data is fed with ids that exist and with tokens that open the door, so that a
handler is reached; what is bad is sent as it was made.
"""

import os
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from schemathesis import Case
from schemathesis.checks import not_a_server_error
from schemathesis.core.failures import FailureGroup
from schemathesis.generation import GenerationMode
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from tests.hostile.contract import document, routes
from tests.sizes import by_form

TOO_LONG = 414
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]
SEED = int(os.environ.get("SEED", "1"))
"""The requests of a run are those of its seed."""

GOOD, BAD, FEW = by_form((60, 25, 10), (270, 80, 10))
"""Cases for a route that follow its schema, that break it, and for one that takes nothing."""
TURNS = 3
"""Each is sent so many times, in turn by another caller and about another object: to make a case costs most."""
COSTLY = {
    "POST /api/auth/login": by_form(25, 100),
    "PUT /api/users/{id}": by_form(37, 150),
    "POST /api/users": by_form(75, 300),
    "POST /api/orders": by_form(75, 300),
    "POST /api/products": by_form(75, 300),
}
"""Good cases, sent once, for a route that hashes a password, or that has other services work for it."""


@dataclass(frozen=True)
class World:
    """What a platform has: `ids` that exist by service, the last of which may go; `tokens` of those who may do most.

    No answer to anyone but the administrator holds one of the `canaries`.
    """

    url: str
    ids: dict[str, list[str]]
    tokens: dict[str, str]
    canaries: tuple[bytes, ...]


@dataclass(frozen=True)
class Job:
    service: str
    label: str
    good: bool
    cases: int
    turns: int


@dataclass
class Report:
    """What became of a job; `wrong` are answers that fail a check."""

    job: Job
    statuses: Counter[int] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)


def jobs() -> list[Job]:
    """Good and bad requests to every route, those that take long first."""
    listed = []
    for route in routes():
        takes = "parameters" in route.described or route.body
        cases, turns = (COSTLY[str(route)], 1) if str(route) in COSTLY else (GOOD if takes else FEW, TURNS)
        listed.append(Job(route.service, str(route), True, cases, turns))
        if takes:
            listed.append(Job(route.service, str(route), False, BAD, 2))
    return sorted(listed, key=lambda job: job.label not in COSTLY)


def run(job: Job, world: World) -> Report:
    """Make the requests of a job, send them and judge the answers."""
    report, session = Report(job), requests.Session()
    session.trust_env = False
    operation = schemathesis.openapi.from_dict(document(job.service))[job.label.split()[1]][job.label.split()[0]]
    mode = GenerationMode.POSITIVE if job.good else GenerationMode.NEGATIVE

    @seed(SEED)
    @settings(
        max_examples=job.cases,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(operation.as_strategy(generation_mode=mode), st.integers(0, 10**9))
    def each(case: Case, number: int) -> None:
        for turn in range(job.turns):
            send(case, number + turn)

    def send(case: Case, number: int) -> None:
        case.headers["Authorization"] = f"Bearer {world.tokens[token(case, number)]}" if number % 4 else ""
        if job.good:
            feed(case, number, world)
        response = case.call(base_url=world.url, session=session, timeout=20)
        report.statuses[response.status_code] += 1
        if token(case, number) != "admin" and any(canary in response.content for canary in world.canaries):
            report.wrong.append(f"told of another: {case.as_curl_command()[:600]}")
        if response.status_code == TOO_LONG:
            return  # the server's own answer to an address that no route is asked for
        try:
            case.validate_response(response, checks=CHECKS)
        except (FailureGroup, AssertionError) as error:
            told = "; ".join(str(each) for each in getattr(error, "exceptions", [error]))
            report.wrong.append(f"{told[:600]}\n{case.as_curl_command()[:600]}")

    each()
    return report


def feed(case: Case, number: int, world: World) -> None:
    """Put what exists in the place of what was made up, most of the time."""
    ids = world.ids.get(case.path.split("/")[2], ["no-such-thing"])
    if case.path_parameters and number % 8:
        case.path_parameters["id"] = ids[-1 if case.method == "DELETE" else number % len(ids)]
    case.headers["Authorization"] = f"Bearer {world.tokens[token(case, number)]}"
    case.query = {name: _fed(name, value, number, world) for name, value in (case.query or {}).items()}
    if isinstance(case.body, dict):
        case.body = {name: _fed(name, value, number, world) for name, value in case.body.items()}
        if {"items", "productId"} <= case.body.keys():
            del case.body["items"]  # an order has one or the other, which no schema says


def token(case: Case, number: int) -> str:
    """Whose token goes along: the administrator's where it must be, and now and then elsewhere."""
    security: list[dict[str, list[str]]] = case.operation.definition.raw.get("security", [])
    return "admin" if {"bearer": ["admin"]} in security or number % 3 == 0 else "customer"


def _fed(name: str, value: Any, number: int, world: World) -> Any:
    if name == "items" and value:
        return [{each: _fed(each, made, number, world) for each, made in item.items()} for item in value]
    if name == "productId":
        return world.ids["products"][number % len(world.ids["products"])]
    if name == "userId":
        return world.ids["customer"][0]
    if name == "q":
        return f"kettle {number}"
    if name == "price":
        return f"{number // 100}.{number % 100:02d}"
    if name == "currency":
        return "EUR"
    if name == "email" and number % 2:
        return f"made{number}@example.com"
    if isinstance(value, float) and value.is_integer():
        return int(value)  # JSON Schema takes 1.0 for an integer, the platform does not
    if isinstance(value, str):
        return "".join(char for char in value if char.isprintable()).ljust(8, "x")[: len(value)]
    return value
