"""The OpenAPI 3.1 document of a service: its public routes as declared."""

import inspect
from typing import Any

from chassis.errors import DomainError, InvalidInput, NotFound, VersionConflict
from chassis.schema import ID, Schema
from chassis.service import Service
from chassis.web.api import ADMIN, ANYONE, OPTIONAL, Content, Operation, Response
from chassis.web.idempotency import MAX_KEY_CHARS, KeyInUse, KeyReused
from chassis.web.problem_document import MEDIA_TYPE, problem_type
from chassis.web.problems import STATUS
from mercato.contracts import info
from mercato.contracts.schemas import JsonSchema, Use, parameters, schemas


class BadField(Schema):
    field: str
    reason: str


class Problem(Schema):
    """A problem document (RFC 9457): `type` and `status` are for programs, the rest is for people."""

    type: str
    title: str
    status: int
    detail: str
    instance: str
    trace_id: str
    errors: list[BadField] = []


_PROBLEM: Use = (Problem, "validation")

_ERRORS = {
    400: ("BadRequest", "The body is not JSON, or a header is not valid."),
    401: ("Unauthorized", "The access token is missing or not valid."),
    402: ("PaymentRequired", "The payment was declined."),
    403: ("Forbidden", "The caller may not do this."),
    404: ("NotFound", "The object does not exist, or the caller may not see it."),
    409: ("Conflict", "The state of the object does not allow it, or a request with this Idempotency-Key still runs."),
    410: ("Gone", "The link was used before, or it is too old."),
    412: ("PreconditionFailed", "The object changed after the version in If-Match."),
    413: ("BodyTooLarge", "The body is too large."),
    415: ("UnsupportedMediaType", "The body has another media type, or it is compressed."),
    422: ("InvalidInput", "A field of body or query is not valid, or the Idempotency-Key came with another body."),
    429: ("TooManyRequests", "More requests than the rate limit allows."),
    503: ("Unavailable", "A part of the platform does not respond; try again."),
    504: ("DeadlineExceeded", "The deadline passed before the work began."),
}
"""Status -> the name of the shared response, and what it means."""

_GENERIC = "about:blank"
_PLATFORM_TYPES: dict[int, tuple[str, ...]] = {
    402: (),
    404: (problem_type(NotFound.kind),),
    409: (problem_type(KeyInUse.kind),),
    412: (problem_type(VersionConflict.kind),),
    422: (problem_type(InvalidInput.kind), problem_type(KeyReused.kind), _GENERIC),
    503: (_GENERIC, problem_type("not_done")),
    504: (problem_type("not_done"),),
}
"""Status -> the problem types that the chassis itself responds with; elsewhere the generic one alone."""

_HEADERS: dict[str, JsonSchema] = {
    "Cache-Control": {"description": "Who may keep the response, and how long.", "schema": {"type": "string"}},
    "ETag": {
        "description": "The version and a digest of the body, for If-Match and If-None-Match.",
        "schema": {"type": "string", "pattern": '^"[0-9]+-[0-9a-f]+"$'},
    },
    "Idempotent-Replayed": {
        "description": "The response is that of an earlier request with the same key.",
        "schema": {"type": "string", "const": "true"},
    },
    "Location": {"description": "The path of the new object.", "schema": {"type": "string"}},
    "RateLimit": {"description": "The rest of the limit, and when it is reset.", "schema": {"type": "string"}},
    "RateLimit-Policy": {"description": "The limit.", "schema": {"type": "string"}},
    "Retry-After": {"description": "Seconds to wait.", "schema": {"type": "string", "pattern": "^[0-9]+$"}},
    "WWW-Authenticate": {"description": "How to sign in.", "schema": {"type": "string"}},
}

_LIMITED = ("RateLimit", "RateLimit-Policy")
_ERROR_HEADERS = {
    413: (),  # it comes before a request is counted
    429: (*_LIMITED, "Retry-After"),
    503: (*_LIMITED, "Retry-After"),
}
_UNAUTHENTICATED_HEADERS = ("WWW-Authenticate",)
"""The headers of a 401 for the token, which comes before a request is counted, too."""

_PARAMETERS: dict[str, JsonSchema] = {
    "IdempotencyKey": {
        "name": "Idempotency-Key",
        "in": "header",
        "required": False,
        "description": "The same key and body within 24 hours have one effect and one response.",
        "schema": {"type": "string", "minLength": 1, "maxLength": MAX_KEY_CHARS},
    },
    "IfNoneMatch": {
        "name": "If-None-Match",
        "in": "header",
        "required": False,
        "description": "The ETags that the caller has; the response has no body if it has one of them.",
        "schema": {"type": "string"},
    },
    "IfMatch": {
        "name": "If-Match",
        "in": "header",
        "required": False,
        "description": "The ETag that the caller knows; the request fails if the object has another version.",
        "schema": {"type": "string"},
    },
}


def document(service: Service) -> dict[str, Any]:
    """Return the document as data, always in the same order."""
    operations = [operation for api in service.apis for operation in api.operations]
    refs, definitions = schemas(use for operation in operations for use in _uses(operation))
    paths: dict[str, Any] = {}
    for operation in operations:
        paths.setdefault(operation.path, {})[operation.method.lower()] = _operation(operation, refs)
    paths[f"/api/{service.name}/health"] = {"get": _health(service.name)}
    bearer = {"type": "http", "scheme": "bearer", "bearerFormat": "JWT", "description": "An access token of users."}
    used = {status for operation in operations for status in _errors_by_status(operation)}
    return {
        "openapi": "3.1.0",
        "info": info(service),
        "servers": [{"url": "/"}],
        "paths": paths,
        "components": {
            "schemas": definitions,
            "responses": {name: _shared_error(status, refs) for status, (name, _) in _ERRORS.items() if status in used},
            "parameters": _PARAMETERS,
            "headers": _HEADERS,
            "securitySchemes": {"bearer": bearer},
        },
    }


def _uses(operation: Operation) -> list[Use]:
    models = operation.responses.values()
    uses: list[Use] = [(model, "serialization") for model in models if model and issubclass(model, Schema)]
    if operation.body:
        uses.append((operation.body, "validation"))
    return [*uses, _PROBLEM]


def _operation(operation: Operation, refs: dict[Use, JsonSchema]) -> JsonSchema:
    summary, _, more = (inspect.getdoc(operation.function) or "").partition("\n\n")
    described: JsonSchema = {"operationId": operation.function.__name__, "summary": summary.removesuffix(".")}
    if more:
        described["description"] = more
    described["security"] = _security(operation)
    if given := _parameters(operation):
        described["parameters"] = given
    if operation.body:
        schema = refs[operation.body, "validation"]
        content = {"application/json": {"schema": schema}}
        described["requestBody"] = {"required": operation.method != "DELETE", "content": content}
    if "content" in operation.arguments:
        described["requestBody"] = {"required": True, "content": _bytes(operation.media_types)}
    responses = {
        str(status): _response(operation, status, model, refs) for status, model in operation.responses.items()
    }
    if _is_conditional(operation):
        headers = _refs("ETag", "Cache-Control", *_LIMITED)
        responses["304"] = {"description": "The caller has the representation already.", "headers": headers}
    errors = {
        str(status): _error(status, found, refs) for status, found in sorted(_errors_by_status(operation).items())
    }
    described["responses"] = {**responses, **errors}
    return described


def _parameters(operation: Operation) -> list[JsonSchema]:
    id = {"type": "string", "pattern": f"^{ID.pattern}$"}
    found: list[JsonSchema] = [{"name": name, "in": "path", "required": True, "schema": id} for name in operation.names]
    if operation.query:
        found += parameters(operation.query)
    if operation.secret_header:
        secret = {"description": "The secret of the object.", "schema": {"type": "string"}}
        found.append({"name": operation.secret_header, "in": "header", "required": False, **secret})
    if operation.idempotent:
        found.append({"$ref": "#/components/parameters/IdempotencyKey"})
    if "if_match" in operation.arguments:
        found.append({"$ref": "#/components/parameters/IfMatch"})
    if _is_conditional(operation):
        found.append({"$ref": "#/components/parameters/IfNoneMatch"})
    return found


def _response(
    operation: Operation, status: int, model: type[Schema] | type[Content] | None, refs: dict[Use, JsonSchema]
) -> JsonSchema:
    headers = [*_LIMITED]
    if status in (201, 202) and operation.responses[status] and not operation.names:
        headers.insert(0, "Location")
    if operation.idempotent:
        headers.insert(0, "Idempotent-Replayed")
    if model and _has_version(operation):
        headers.insert(0, "ETag")
    if operation.public_for_s:
        headers.insert(0, "Cache-Control")
    description = (model.__doc__ or model.__name__) if model else "Done."
    described: JsonSchema = {"description": description, "headers": _refs(*headers)}
    if model and issubclass(model, Schema):
        described["content"] = {"application/json": {"schema": refs[model, "serialization"]}}
    elif model:
        described["content"] = _bytes(operation.media_types)
    return described


def _bytes(media_types: tuple[str, ...]) -> JsonSchema:
    return {media_type: {"schema": {"type": "string", "contentMediaType": media_type}} for media_type in media_types}


def _has_version(operation: Operation) -> bool:
    """Return whether the response has an ETag: a handler that returns a bare body has no version."""
    return inspect.get_annotations(operation.function, eval_str=True).get("return") is Response


def _security(operation: Operation) -> list[JsonSchema]:
    if operation.auth == ANYONE:
        return [{}, {"bearer": ["admin"]}] if operation.admin_parameters else []
    if operation.auth == OPTIONAL:
        return [{}, {"bearer": []}]
    return [{"bearer": ["admin"] if operation.auth == ADMIN else []}]


def _is_conditional(operation: Operation) -> bool:
    return operation.method == "GET" and _has_version(operation)


def _errors_by_status(operation: Operation) -> dict[int, list[type[DomainError]]]:
    """Return status -> the domain errors that the route declares; without one, the shared response says it all."""
    statuses = [422, 429, 503, 504]
    statuses += [400] if operation.idempotent else []
    statuses += [400, 413, 415] if operation.body else []
    statuses += [413, 415] if "content" in operation.arguments else []
    statuses += [401] if _security(operation) else []
    statuses += [403] if operation.auth == ADMIN or operation.admin_parameters else []
    statuses += [STATUS[error.category] for error in operation.implied_errors]
    found: dict[int, list[type[DomainError]]] = {status: [] for status in statuses}
    for error in operation.errors:
        found.setdefault(STATUS[error.category], []).append(error)
    return found


def _error(status: int, declared: list[type[DomainError]], refs: dict[Use, JsonSchema]) -> JsonSchema:
    if not declared:
        return {"$ref": f"#/components/responses/{_ERRORS[status][0]}"}
    types = (*(problem_type(error.kind) for error in declared), *_PLATFORM_TYPES.get(status, (_GENERIC,)))
    return _problem(status, types, _ERROR_HEADERS.get(status, _LIMITED), refs)


def _shared_error(status: int, refs: dict[Use, JsonSchema]) -> JsonSchema:
    headers = _UNAUTHENTICATED_HEADERS if status == 401 else _ERROR_HEADERS.get(status, _LIMITED)
    return _problem(status, _PLATFORM_TYPES.get(status, (_GENERIC,)), headers, refs)


def _problem(status: int, types: tuple[str, ...], headers: tuple[str, ...], refs: dict[Use, JsonSchema]) -> JsonSchema:
    """Return a response with a problem document of one of these types."""
    schema = {"allOf": [refs[_PROBLEM], {"properties": {"type": {"enum": list(dict.fromkeys(types))}}}]}
    described: JsonSchema = {"description": _ERRORS[status][1]}
    if headers:
        described["headers"] = _refs(*headers)
    return {**described, "content": {MEDIA_TYPE: {"schema": schema}}}


def _refs(*headers: str) -> JsonSchema:
    return {name: {"$ref": f"#/components/headers/{name}"} for name in headers}


def _health(name: str) -> JsonSchema:
    properties = {"status": {"const": "healthy"}, "service": {"const": name}}
    schema = {"type": "object", "properties": properties, "required": [*properties]}
    answer = {"description": "The service responds.", "content": {"application/json": {"schema": schema}}}
    return {
        "operationId": "health",
        "summary": "Check that it responds",
        "security": [],
        "responses": {"200": answer},
    }
