"""Breaking changes for clients, consumers and callers are found, and compatible changes are not."""

from copy import deepcopy

import pytest

from mercato.contracts.breaking import changes

SHIRT = {
    "type": "object",
    "properties": {
        "id": {"type": "string", "pattern": "^[a-z]+$"},
        "size": {"type": "string", "enum": ["s", "m"]},
        "price": {"type": "string"},
        "note": {"anyOf": [{"type": "string"}, {"type": "null"}]},
        "tags": {"type": "array", "items": {"$ref": "#/components/schemas/Tag"}},
    },
    "required": ["id", "size", "price", "note", "tags"],
}
NEW_SHIRT = {
    "type": "object",
    "properties": {
        "size": {"type": "string", "enum": ["s", "m"]},
        "count": {"type": "integer", "minimum": 1, "maximum": 10},
        "label": {"type": "string", "pattern": "^[a-z]*$", "maxLength": 20},
        "price": {"type": ["string", "number"]},
        "gift": {"anyOf": [{"type": "boolean"}, {"type": "null"}]},
    },
    "required": ["size"],
    "additionalProperties": False,
}
TAG = {"type": "object", "properties": {"text": {"type": "string"}}, "required": ["text"]}
ANSWER = {
    "description": "A shirt",
    "headers": {"ETag": {"schema": {"type": "string"}}},
    "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Shirt"}}},
}
OPENAPI = {
    "openapi": "3.1.0",
    "paths": {
        "/shirts": {
            "get": {
                "security": [],
                "parameters": [
                    {"name": "limit", "in": "query", "required": False, "schema": {"type": "integer", "maximum": 100}},
                    {
                        "name": "sort",
                        "in": "query",
                        "required": False,
                        "schema": {"enum": ["a", "b"], "type": "string"},
                    },
                ],
                "responses": {"200": ANSWER},
            },
            "post": {
                "security": [{"bearer": []}],
                "parameters": [{"$ref": "#/components/parameters/Key"}],
                "requestBody": {"content": {"application/json": {"schema": {"$ref": "#/components/schemas/NewShirt"}}}},
                "responses": {"201": ANSWER, "202": {"description": "Later"}, "422": {"description": "No"}},
            },
        },
    },
    "components": {
        "schemas": {"Shirt": SHIRT, "NewShirt": NEW_SHIRT, "Tag": TAG},
        "parameters": {"Key": {"name": "Key", "in": "header", "required": False, "schema": {"type": "string"}}},
    },
}
ASYNCAPI = {
    "asyncapi": "3.0.0",
    "channels": {
        "shirts.events": {
            "address": "shirts.events",
            "messages": {"shirt.sewn": {"$ref": "#/components/messages/shirt.sewn"}},
        },
        "wool.events": {"address": "wool.events", "messages": {"wool.shorn": {"$ref": "../wool.yaml#/x"}}},
    },
    "operations": {
        "publish": {
            "action": "send",
            "channel": {"$ref": "#/channels/shirts.events"},
            "messages": [{"$ref": "#/channels/shirts.events/messages/shirt.sewn"}],
        },
        "consumeWool": {
            "action": "receive",
            "channel": {"$ref": "#/channels/wool.events"},
            "messages": [{"$ref": "#/channels/wool.events/messages/wool.shorn"}],
        },
    },
    "components": {
        "messages": {
            "shirt.sewn": {
                "headers": {"type": "object", "properties": {"ce_id": {"type": "string"}}, "required": ["ce_id"]},
                "payload": {"$ref": "#/components/schemas/Shirt"},
                "bindings": {"kafka": {"key": {"type": "string", "description": "shirtId"}}},
            }
        },
        "schemas": {"Shirt": SHIRT, "Tag": TAG},
    },
}

COMMANDS = {
    "commands": "1.0.0",
    "operations": {
        "sew": {
            "path": "/internal/sew",
            "callers": ["mending", "tailoring"],
            "readOnly": True,
            "request": {
                "type": "object",
                "properties": {"size": {"type": "string", "enum": ["s", "m"]}, "tags": {"type": "integer"}},
                "required": ["size"],
            },
            "reply": {"$ref": "#/components/schemas/Shirt"},
            "errors": ["/problems/no-thread"],
        }
    },
    "components": {"schemas": {"Shirt": SHIRT, "Tag": TAG}},
}

SAGAS = {
    "sagas": "1.0.0",
    "definitions": {
        "order": {
            "1": {
                "steps": [
                    {"name": "cut", "do": "cloth/cut", "undo": "cloth/return"},
                    {"name": "sew", "do": "local"},
                ],
                "data": {"$ref": "#/components/schemas/NewShirt"},
            }
        }
    },
    "components": {
        "schemas": {
            "NewShirt": {
                "type": "object",
                "properties": {"size": {"type": "string"}, "tags": {"type": "array", "items": {"type": "string"}}},
                "required": ["size"],
            }
        }
    },
}

PATHS = OPENAPI["paths"]


class _Gone:
    def __repr__(self):
        return "gone"


GONE = _Gone()


def edited(document, place, value):
    """Return a copy with `value` at `place`, a JSON pointer; GONE removes what is there."""
    copy = deepcopy(document)
    at = copy
    *parents, last = (part.replace("~1", "/") for part in place.split("/"))
    for part in parents:
        at = at[int(part)] if isinstance(at, list) else at[part]
    if isinstance(at, list):
        at[int(last) :] = [] if value is GONE else [value]
    elif value is GONE:
        del at[last]
    else:
        at[last] = value
    return copy


SHIRTS, FIELD, BODY = "paths/~1shirts", "components/schemas/Shirt/properties", "components/schemas/NewShirt/properties"
FOR_CLIENTS = [
    (SHIRTS, GONE, "GET /shirts is gone"),
    (f"{SHIRTS}/get", GONE, "GET /shirts is gone"),
    (f"{SHIRTS}/post/responses/202", GONE, "POST /shirts: no longer answers 202"),
    (f"{SHIRTS}/get/responses/206", {"description": "Some"}, "GET /shirts: now answers 206"),
    (f"{SHIRTS}/get/responses/200/headers/ETag", GONE, "GET /shirts 200: no longer has ETag"),
    (f"{SHIRTS}/get/responses/200/content", {"text/csv": {}}, "GET /shirts 200: is no application/json any more"),
    (f"{SHIRTS}/get/security", [{"bearer": []}], "GET /shirts: needs bearer"),
    (f"{SHIRTS}/post/security", [{"bearer": ["admin"]}], "POST /shirts: needs bearer admin"),
    (f"{SHIRTS}/get/parameters/1", GONE, "GET /shirts: an old request's query sort is not known"),
    (f"{SHIRTS}/get/parameters/0/required", True, "GET /shirts: an old request's query limit may be missing"),
    (f"{SHIRTS}/get/parameters/0/schema/maximum", 50, "query limit: maximum is 100, not 50"),
    (f"{SHIRTS}/get/parameters/1/schema/enum", ["a"], "query sort may be b"),
    (f"{SHIRTS}/post/parameters", [], "POST /shirts: an old request's header Key is not known"),
    (f"{SHIRTS}/post/requestBody", GONE, "POST /shirts: takes no body any more"),
    (
        f"{SHIRTS}/get/requestBody",
        {**PATHS["/shirts"]["post"]["requestBody"], "required": True},
        "GET /shirts: wants a body",
    ),
    (f"{FIELD}/price", GONE, "GET /shirts 200 price is gone"),
    ("components/schemas/Shirt/required", ["id", "size", "price", "tags"], "GET /shirts 200 note may be missing"),
    (f"{FIELD}/price", {"type": "number"}, "GET /shirts 200 price may be number, not only string"),
    (f"{FIELD}/price/type", ["string", "null"], "GET /shirts 200 price may be null, not only string"),
    (f"{FIELD}/price", {}, "GET /shirts 200 price may be anything, not only string"),
    (f"{FIELD}/size/enum", ["s", "m", "l"], "GET /shirts 200 size may be l"),
    (f"{FIELD}/size/enum", GONE, "GET /shirts 200 size may be any value"),
    (f"{FIELD}/id/pattern", "^[a-z0-9]+$", "GET /shirts 200 id: another pattern"),
    ("components/schemas/Tag/properties/text/type", "integer", "GET /shirts 200 tags[] text may be integer"),
    ("components/schemas/NewShirt/required", ["size", "count"], "an old body's count may be missing"),
    (f"{BODY}/label", GONE, "an old body's label is not known"),
    (f"{BODY}/price/type", "string", "an old body's price may be number, not only string"),
    (f"{BODY}/gift", {"type": "boolean"}, "an old body's gift may be null, not only boolean"),
    (f"{BODY}/size/enum", ["s"], "an old body's size may be m"),
    (f"{BODY}/count/minimum", 2, "an old body's count: minimum is 1, not 2"),
    (f"{BODY}/count/maximum", 9, "an old body's count: maximum is 10, not 9"),
    (f"{BODY}/label/maxLength", 10, "an old body's label: maxLength is 20, not 10"),
    (f"{BODY}/label/minLength", 1, "an old body's label: minLength is nothing, not 1"),
    (f"{BODY}/label/pattern", "^[a-c]*$", "an old body's label: another pattern"),
]
FOR_CONSUMERS = [
    ("operations/publish/messages", [], "shirt.sewn is gone"),
    ("operations/publish", GONE, "shirt.sewn is gone"),
    ("channels/shirts.events/address", "clothes.events", "shirt.sewn: goes to clothes.events"),
    ("components/messages/shirt.sewn/bindings/kafka/key/description", "size", "shirt.sewn: has another key"),
    ("components/messages/shirt.sewn/headers/properties/ce_id", GONE, "shirt.sewn headers ce_id is gone"),
    (f"{FIELD}/price", GONE, "shirt.sewn payload price is gone"),
    (f"{FIELD}/price/type", "integer", "shirt.sewn payload price may be integer, not only string"),
    (f"{FIELD}/size/enum", ["s", "m", "l"], "shirt.sewn payload size may be l"),
    ("components/schemas/Shirt/required", ["id", "size", "note", "tags"], "shirt.sewn payload price may be missing"),
    (f"{FIELD}/size/enum", ["s"], "in the payload of a stored event, size may be m"),
    (f"{FIELD}/price/maxLength", 20, "in the payload of a stored event, price: maxLength is nothing, not 20"),
    (
        "components/schemas/Tag/required",
        ["text", "color"],
        "in the payload of a stored event, tags[] color may be missing",
    ),
]
HARMLESS_FOR_CONSUMERS = [
    (f"{FIELD}/color", {"type": "string"}),
    ("components/schemas/Tag/properties/color", {"type": "string"}),
    (f"{FIELD}/price/description", "With the currency."),
]
SEW = "operations/sew"
FOR_CALLERS = [
    (SEW, GONE, "sew is gone"),
    (f"{SEW}/path", "/internal/stitch", "sew: is at /internal/stitch"),
    (f"{SEW}/readOnly", False, "sew: is no longer read-only"),
    (f"{SEW}/callers", ["tailoring"], "sew: rejects mending"),
    (f"{SEW}/request/required", ["size", "tags"], "sew: an old request's tags may be missing"),
    (f"{SEW}/request/properties/size/enum", ["s"], "sew: an old request's size may be m"),
    (f"{FIELD}/price", GONE, "sew reply price is gone"),
    (f"{FIELD}/size/enum", ["s", "m", "l"], "sew reply size may be l"),
    ("components/schemas/Shirt/required", ["id", "size", "price", "note", "tags", "color"], "in an old reply, color"),
    (f"{SEW}/request/required", [], "for a service of the release before, a request's size may be missing"),
    (f"{SEW}/request/properties/size/enum", ["s", "m", "l"], "for a service of the release before, a request's size"),
    (f"{SEW}/readAs", {"type": "object", "required": ["color"], "properties": {"color": {}}}, "in an old reply, color"),
]
DATA = "components/schemas/NewShirt"
FOR_OPEN_SAGAS = [
    ("definitions/order", GONE, "order 1 is gone"),
    ("definitions/order/1", GONE, "order 1 is gone"),
    ("definitions/order/1/steps/1/name", "stitch", "its steps are cut, stitch, not cut, sew"),
    ("definitions/order/1/steps/1", {"name": "iron", "do": "local"}, "its steps are cut, iron, not cut, sew"),
    ("definitions/order/1/steps/2", {"name": "iron", "do": "local"}, "its steps are cut, sew, iron, not cut, sew"),
    ("definitions/order/1/steps/0/do", "cloth/tear", "order 1 cut: do is cloth/tear, not cloth/cut"),
    ("definitions/order/1/steps/0/undo", GONE, "order 1 cut: undo is gone, not cloth/return"),
    (f"{DATA}/required", ["size", "tags"], "in stored data, tags may be missing"),
    (f"{DATA}/properties/size/type", "integer", "in stored data, size may be string, not only integer"),
    (f"{DATA}/required", [], "for a driver of the release before, size may be missing"),
]
HARMLESS_FOR_OPEN_SAGAS = [
    ("definitions/order/1/steps/1/undo", "local"),
    ("definitions/order/2", {"steps": [], "data": {}}),
    ("definitions/mend", {"1": {"steps": [], "data": {}}}),
    (f"{DATA}/properties/color", {"type": "string"}),
    (f"{DATA}/properties/tags", GONE),
]
HARMLESS_FOR_CALLERS = [
    (f"{SEW}/callers", ["mending", "shopping", "tailoring"]),
    (f"{SEW}/callers", ["*"]),
    (f"{SEW}/errors", ["/problems/no-thread", "/problems/no-needle"]),
    (f"{SEW}/errors", []),
    (f"{SEW}/request/properties/color", {"type": "string"}),
    (f"{SEW}/request/properties/tags", GONE),
    (f"{FIELD}/color", {"type": "string"}),
    ("operations/iron", COMMANDS["operations"]["sew"]),
]
HARMLESS = [
    (f"{SHIRTS}/get/requestBody", PATHS["/shirts"]["post"]["requestBody"]),
    ("paths/~1socks", {"get": PATHS["/shirts"]["get"]}),
    (f"{SHIRTS}/post/responses/422", GONE),
    (f"{SHIRTS}/post/responses/409", {"description": "No"}),
    (f"{SHIRTS}/post/security", []),
    (f"{SHIRTS}/get/parameters/0/schema/maximum", 200),
    (f"{FIELD}/color", {"type": "string"}),
    (f"{FIELD}/size/enum", ["s"]),
    (f"{FIELD}/note", {"type": "string"}),
    (f"{FIELD}/price/maxLength", 20),
    (f"{BODY}/color", {"type": "string"}),
    (f"{BODY}/size/enum", ["s", "m", "l"]),
    (f"{BODY}/size/enum", GONE),
    (f"{BODY}/count", {"type": "number"}),
    (f"{BODY}/label/maxLength", GONE),
    ("components/schemas/NewShirt/required", []),
    ("components/schemas/Shirt/description", "A shirt."),
]


def cases(**tables):
    """Return the cases of all tables, each with the contract that it changes and an id with the name of its table."""
    return [
        pytest.param(contract, *case, id=f"{name}-{case[0]}"[:60])
        for name, (contract, table) in tables.items()
        for case in table
    ]


@pytest.mark.parametrize(
    "contract, place, value, found",
    cases(
        clients=(OPENAPI, FOR_CLIENTS),
        consumers=(ASYNCAPI, FOR_CONSUMERS),
        callers=(COMMANDS, FOR_CALLERS),
        sagas=(SAGAS, FOR_OPEN_SAGAS),
    ),
)
def test_breaking_change_is_named(contract, place, value, found):
    assert any(found in each for each in changes(contract, edited(contract, place, value)))


@pytest.mark.parametrize(
    "contract, place, value",
    cases(
        clients=(OPENAPI, HARMLESS),
        consumers=(ASYNCAPI, HARMLESS_FOR_CONSUMERS),
        callers=(COMMANDS, HARMLESS_FOR_CALLERS),
        sagas=(SAGAS, HARMLESS_FOR_OPEN_SAGAS),
    ),
)
def test_compatible_change_passes(contract, place, value):
    assert changes(contract, edited(contract, place, value)) == []


def open_size(*values):
    return {"type": "string", "x-extensible-enum": [*values]}


@pytest.mark.parametrize("document", [OPENAPI, ASYNCAPI, COMMANDS], ids=["openapi", "asyncapi", "commands"])
def test_open_enumeration_gets_values_and_loses_none(document):
    for before in ({"type": "string"}, {"type": "string", "enum": ["s", "m"]}, open_size("s", "m")):
        old = edited(document, f"{FIELD}/size", before)
        assert changes(old, edited(document, f"{FIELD}/size", open_size("s", "m", "l"))) == []
    old = edited(document, f"{FIELD}/size", open_size("s", "m"))
    for without_m in (open_size("s"), open_size("s", "l"), {"type": "string", "enum": ["s"]}, {"type": "string"}):
        assert any("size no longer has" in each for each in changes(old, edited(document, f"{FIELD}/size", without_m)))
    assert changes(old, edited(document, f"{FIELD}/size", {"type": "integer"}))


@pytest.mark.parametrize(
    "document", [OPENAPI, ASYNCAPI, COMMANDS, SAGAS], ids=["openapi", "asyncapi", "commands", "sagas"]
)
def test_unchanged_contract_passes(document):
    assert changes(document, deepcopy(document)) == []


def test_event_that_is_no_longer_consumed_passes():
    assert changes(ASYNCAPI, edited(ASYNCAPI, "operations/consumeWool", GONE)) == []
