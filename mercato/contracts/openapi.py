"""The OpenAPI 3.1 document of a service: its public routes, as they were declared."""

import inspect
from typing import Any

from chassis.schema import ID, Schema
from chassis.service import Service
from chassis.web.api import ADMIN, ANYONE, Operation, Response
from chassis.web.idempotency import LONGEST_KEY
from mercato.contracts import info
from mercato.contracts.schemas import JsonSchema, Use, parameters, schemas


class BadField(Schema):
    field: str
    reason: str


class Problem(Schema):
    """RFC 9457. What is wrong, for programs (`type`, `status`) and for people; a refusal may add members of its own."""

    type: str
    title: str
    status: int
    detail: str
    instance: str
    trace_id: str
    errors: list[BadField] = []


_PROBLEM: Use = (Problem, "validation")

_REFUSALS = {
    400: ("BadRequest", "The body is not JSON, or a header cannot be read."),
    401: ("Unauthorized", "No access token, or none that is good."),
    402: ("PaymentRequired", "The payment was not made."),
    403: ("Forbidden", "The caller has not the right."),
    404: ("NotFound", "There is no such thing, or not for this caller."),
    409: ("Conflict", "Its state does not allow it, or the first request with this Idempotency-Key still runs."),
    412: ("PreconditionFailed", "It has changed since the version in If-Match."),
    413: ("BodyTooLarge", "The body is larger than the platform takes."),
    415: ("UnsupportedMediaType", "The body is not application/json, or it is compressed."),
    422: ("InvalidInput", "A field of body or query is not valid, or the Idempotency-Key came with another body."),
    429: ("TooManyRequests", "More requests than the rate limit allows."),
    503: ("Unavailable", "A part of the platform does not answer; try again."),
    504: ("DeadlineExceeded", "The deadline passed before the work began."),
}

_HEADERS: dict[str, JsonSchema] = {
    "ETag": {"description": "The version, for If-Match.", "schema": {"type": "string", "pattern": '^"[0-9]+"$'}},
    "Idempotent-Replayed": {
        "description": "The answer is that of an earlier request with the same key.",
        "schema": {"type": "string", "const": "true"},
    },
    "Location": {"description": "Where what was made is found.", "schema": {"type": "string"}},
    "RateLimit": {"description": "What is left of the limit, and until when.", "schema": {"type": "string"}},
    "RateLimit-Policy": {"description": "The limit.", "schema": {"type": "string"}},
    "Retry-After": {"description": "Seconds to wait.", "schema": {"type": "string", "pattern": "^[0-9]+$"}},
    "WWW-Authenticate": {"description": "How to sign in.", "schema": {"type": "string"}},
}

_LIMITED = ("RateLimit", "RateLimit-Policy")
_REFUSAL_HEADERS = {
    401: ("WWW-Authenticate",),  # like 413 it comes before a request is counted
    413: (),
    429: (*_LIMITED, "Retry-After"),
    503: (*_LIMITED, "Retry-After"),
}

_PARAMETERS: dict[str, JsonSchema] = {
    "IdempotencyKey": {
        "name": "Idempotency-Key",
        "in": "header",
        "required": False,
        "description": "The same key and body within 24 hours have one effect and one answer.",
        "schema": {"type": "string", "minLength": 1, "maxLength": LONGEST_KEY},
    },
    "IfMatch": {
        "name": "If-Match",
        "in": "header",
        "required": False,
        "description": "The ETag that the caller knows; another version is not touched.",
        "schema": {"type": "string"},
    },
}


def document(service: Service) -> dict[str, Any]:
    """The document as data, always in the same order."""
    operations = [operation for api in service.apis for operation in api.operations]
    refs, definitions = schemas(use for operation in operations for use in _uses(operation))
    paths: dict[str, Any] = {}
    for operation in operations:
        paths.setdefault(operation.path, {})[operation.method.lower()] = _operation(operation, refs)
    paths[f"/api/{service.name}/health"] = {"get": _health(service.name)}
    bearer = {"type": "http", "scheme": "bearer", "bearerFormat": "JWT", "description": "An access token of users."}
    used = {status for operation in operations for status in _refusals(operation)}
    return {
        "openapi": "3.1.0",
        "info": info(service),
        "servers": [{"url": "/"}],
        "paths": paths,
        "components": {
            "schemas": definitions,
            "responses": {
                name: _problem(said, refs, *_REFUSAL_HEADERS.get(status, _LIMITED))
                for status, (name, said) in _REFUSALS.items()
                if status in used
            },
            "parameters": _PARAMETERS,
            "headers": _HEADERS,
            "securitySchemes": {"bearer": bearer},
        },
    }


def _uses(operation: Operation) -> list[Use]:
    uses: list[Use] = [(model, "serialization") for model in operation.responses.values() if model]
    if operation.body:
        uses.append((operation.body, "validation"))
    return [*uses, _PROBLEM]


def _operation(operation: Operation, refs: dict[Use, JsonSchema]) -> JsonSchema:
    summary, _, more = (inspect.getdoc(operation.function) or "").partition("\n\n")
    described: JsonSchema = {"operationId": operation.function.__name__, "summary": summary.removesuffix(".")}
    if more:
        described["description"] = more
    described["security"] = (
        [] if operation.auth == ANYONE else [{"bearer": ["admin"] if operation.auth == ADMIN else []}]
    )
    if given := _parameters(operation):
        described["parameters"] = given
    if operation.body:
        schema = refs[operation.body, "validation"]
        described["requestBody"] = {"required": True, "content": {"application/json": {"schema": schema}}}
    answers = {str(status): _answer(operation, status, model, refs) for status, model in operation.responses.items()}
    refusals = {str(status): _refusal(status, kinds, refs) for status, kinds in sorted(_refusals(operation).items())}
    described["responses"] = {**answers, **refusals}
    return described


def _parameters(operation: Operation) -> list[JsonSchema]:
    id = {"type": "string", "pattern": f"^{ID.pattern}$"}
    found: list[JsonSchema] = [{"name": name, "in": "path", "required": True, "schema": id} for name in operation.names]
    if operation.query:
        found += parameters(operation.query)
    if operation.idempotent:
        found.append({"$ref": "#/components/parameters/IdempotencyKey"})
    if "if_match" in operation.arguments:
        found.append({"$ref": "#/components/parameters/IfMatch"})
    return found


def _answer(operation: Operation, status: int, model: type[Schema] | None, refs: dict[Use, JsonSchema]) -> JsonSchema:
    headers = [*_LIMITED]
    if status in (201, 202) and not operation.names:
        headers.insert(0, "Location")
    if operation.idempotent:
        headers.insert(0, "Idempotent-Replayed")
    if model and inspect.get_annotations(operation.function, eval_str=True).get("return") is Response:
        headers.insert(0, "ETag")  # a function that answers a bare body has no version to tell
    said = (model.__doc__ or model.__name__) if model else "Done."
    described: JsonSchema = {"description": said, "headers": _refs(*headers)}
    if model:
        described["content"] = {"application/json": {"schema": refs[model, "serialization"]}}
    return described


def _refusals(operation: Operation) -> dict[int, list[str]]:
    """Status -> the kinds of refusal that the route declares for it; the rest is what the chassis may answer."""
    statuses = [422, 429, 503, 504]
    statuses += [400] if operation.idempotent else []
    statuses += [400, 413, 415] if operation.body else []
    statuses += [401] if operation.auth != ANYONE else []
    statuses += [403] if operation.auth == ADMIN else []
    statuses += [404] if operation.names else []
    statuses += [409] if operation.idempotent else []
    statuses += [412] if "if_match" in operation.arguments else []
    found: dict[int, list[str]] = {status: [] for status in statuses}
    for kind, status in operation.errors.items():
        found.setdefault(status, []).append(kind)
    return found


def _refusal(status: int, kinds: list[str], refs: dict[Use, JsonSchema]) -> JsonSchema:
    name, said = _REFUSALS[status]
    if not kinds:
        return {"$ref": f"#/components/responses/{name}"}
    types = ", ".join(f"`/problems/{kind.replace('_', '-')}`" for kind in kinds)
    return _problem(f"{said} Of type {types}.", refs, *_LIMITED)


def _problem(said: str, refs: dict[Use, JsonSchema], *headers: str) -> JsonSchema:
    described: JsonSchema = {"description": said}
    if headers:
        described["headers"] = _refs(*headers)
    return {**described, "content": {"application/problem+json": {"schema": refs[_PROBLEM]}}}


def _refs(*headers: str) -> JsonSchema:
    return {name: {"$ref": f"#/components/headers/{name}"} for name in headers}


def _health(name: str) -> JsonSchema:
    properties = {"status": {"const": "healthy"}, "service": {"const": name}}
    schema = {"type": "object", "properties": properties, "required": [*properties]}
    answer = {"description": "The process answers.", "content": {"application/json": {"schema": schema}}}
    return {"operationId": "health", "summary": "Is the service there", "security": [], "responses": {"200": answer}}
