"""Requests that schemathesis generates from the OpenAPI documents, sent to a running platform and checked.

Valid requests get ids that exist and tokens that are accepted, so that they reach a handler; invalid ones are sent as
generated.
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
"""The same seed generates the same requests."""

VALID_CASES, INVALID_CASES, FEW_CASES = by_form((36, 15, 6), (370, 115, 10))
"""Cases per route: valid ones, invalid ones, and those for a route without parameters."""
REPEATS = 3
"""Times that each case is sent, with another caller and object each time: generating a case costs most."""
EXPENSIVE = {
    "POST /api/auth/login": by_form(15, 100),
    "PUT /api/users/{id}": by_form(22, 150),
    "POST /api/users": by_form(45, 300),
    "POST /api/orders": by_form(45, 300),
    "POST /api/products": by_form(45, 300),
}
"""Valid cases, sent once, for a route that hashes a password or calls other services."""


@dataclass(frozen=True)
class World:
    """What exists on a platform: `ids` by service, the last of which may be deleted; `tokens` by role.

    No response to anyone but the administrator may hold one of the `canaries`.
    """

    url: str
    ids: dict[str, list[str]]
    tokens: dict[str, str]
    canaries: tuple[bytes, ...]


@dataclass(frozen=True)
class Job:
    service: str
    label: str
    is_valid: bool
    cases: int
    repeats: int


@dataclass
class Report:
    """The result of a job; `failures` are responses that fail a check."""

    job: Job
    statuses: Counter[int] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)


def plan_jobs() -> list[Job]:
    """Return the jobs for every route, those that take long first."""
    listed = []
    for route in routes():
        takes = "parameters" in route.described or route.body
        cases, repeats = (
            (EXPENSIVE[str(route)], 1) if str(route) in EXPENSIVE else (VALID_CASES if takes else FEW_CASES, REPEATS)
        )
        listed.append(Job(route.service, str(route), True, cases, repeats))
        if takes:
            listed.append(Job(route.service, str(route), False, INVALID_CASES, 2))
    return sorted(listed, key=lambda job: job.label not in EXPENSIVE)


def run(job: Job, world: World) -> Report:
    """Generate the requests of a job, send them and check the responses."""
    report, session = Report(job), requests.Session()
    session.trust_env = False
    operation = schemathesis.openapi.from_dict(document(job.service))[job.label.split()[1]][job.label.split()[0]]
    mode = GenerationMode.POSITIVE if job.is_valid else GenerationMode.NEGATIVE

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
        for turn in range(job.repeats):
            send(case, number + turn)

    def send(case: Case, number: int) -> None:
        case.headers["Authorization"] = f"Bearer {world.tokens[token(case, number)]}" if number % 4 else ""
        if job.is_valid:
            use_real_values(case, number, world)
        response = case.call(base_url=world.url, session=session, timeout=20)
        report.statuses[response.status_code] += 1
        if token(case, number) != "admin" and any(canary in response.content for canary in world.canaries):
            report.failures.append(f"leaked a canary: {case.as_curl_command()[:600]}")
        if response.status_code == TOO_LONG:
            return  # the server responds before any route
        try:
            case.validate_response(response, checks=CHECKS)
        except (FailureGroup, AssertionError) as error:
            found = "; ".join(str(each) for each in getattr(error, "exceptions", [error]))
            report.failures.append(f"{found[:600]}\n{case.as_curl_command()[:600]}")

    each()
    return report


def use_real_values(case: Case, number: int, world: World) -> None:
    """Replace most generated ids and values by ones that exist."""
    ids = world.ids.get(case.path.split("/")[2], ["no-such-thing"])
    if case.path_parameters and number % 8:
        # An administrator may end the sessions of the last user, and not those of the one who sends requests.
        last = case.method == "DELETE" or (case.path.startswith("/api/users/") and is_for_administrators(case))
        case.path_parameters["id"] = ids[-1 if last else number % len(ids)]
    case.headers["Authorization"] = f"Bearer {world.tokens[token(case, number)]}"
    case.query = {name: _real_value(name, value, number, world) for name, value in (case.query or {}).items()}
    if isinstance(case.body, dict):
        case.body = {name: _real_value(name, value, number, world) for name, value in case.body.items()}
        if case.path == "/api/orders":  # which has items or one product, what the schema cannot say
            kept = {name: value for name, value in case.body.items() if name not in ("items", "productId", "quantity")}
            one = {"productId": _real_value("productId", "", number, world), "quantity": number % 3 + 1}
            case.body = kept | ({"items": [one]} if case.body.get("items") else one)


def token(case: Case, number: int) -> str:
    """Return the role whose token is sent: the administrator's where it is needed, and in a third of the others."""
    return "admin" if is_for_administrators(case) or number % 3 == 0 else "customer"


def is_for_administrators(case: Case) -> bool:
    """Return whether the route of this case accepts the tokens of administrators alone."""
    return {"bearer": ["admin"]} in case.operation.definition.raw.get("security", [])


def _real_value(name: str, value: Any, number: int, world: World) -> Any:
    if name == "items" and value:
        return [{each: _real_value(each, made, number, world) for each, made in item.items()} for item in value]
    real = {
        "productId": world.ids["products"][number % len(world.ids["products"])],
        "userId": world.ids["customer"][0],
        "q": f"kettle {number}",
        "price": f"{number // 100}.{number % 100:02d}",
        "currency": "EUR",
        "expectedTotal": "10.00" if number % 4 == 0 else None,
        "expectedCurrency": "EUR" if number % 2 == 0 else None,
    }
    if name in real:
        return real[name]
    if name == "email" and number % 2:
        return f"made{number}@example.com"
    if isinstance(value, float) and value.is_integer():
        return int(value)  # 1.0 is an integer for JSON Schema, but not for the platform
    if isinstance(value, str):
        return "".join(char for char in value if char.isprintable()).ljust(8, "x")[: len(value)]
    return value
