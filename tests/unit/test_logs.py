"""Log lines: the documented fields, and the ids of the work."""

import ast
import re
from contextvars import Context
from importlib import import_module
from pathlib import Path

from pydantic.alias_generators import to_camel

from chassis.observe import trace
from chassis.observe.log import log
from chassis.testing import capture_logs
from mercato.catalog import catalog

ROOT = Path(__file__).parents[2]
ALWAYS = {"time", "level", "message", "service", "process", "pid", "traceId", "stack", "sagaId", "path"}


def logged_fields():
    """Yield the field names of all log calls and bound ids."""
    for path in [*ROOT.glob("chassis/**/*.py"), *ROOT.glob("services/**/*.py")]:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
                of, name = getattr(node.func.value, "id", ""), node.func.attr
                if (of == "log" and name in ("debug", "info", "warning", "error")) or (of, name) == ("trace", "bind"):
                    yield from (keyword.arg for keyword in node.keywords if keyword.arg)


def bound_ids():
    """Yield the ids of events, commands and sagas."""
    for name in catalog():
        service = import_module(f"services.{name}.service").service
        yield from (to_camel(event.key) for event in service.events)
        yield from (driver.saga.log_id_field for driver in service.drivers)
        for command in service.commands:
            yield from [to_camel(field) for field in command.model_fields if field.endswith("_id")][:1]


def test_documented_fields_equal_the_logged_ones():
    rows = re.findall(r"^\| (`.+?) \| (.*) \|$", (ROOT / "docs" / "logs.md").read_text(), re.MULTILINE)
    documented = {name for names, about in rows for name in re.findall(r"`([a-z]\w+)`", names)}
    documented |= set(re.findall(r"`(\w+Id)`", dict(rows)["`orderId`"]))
    assert documented == {*ALWAYS, *logged_fields(), *bound_ids()}


def test_lines_have_the_ids_of_their_own_work():
    def work():
        with trace.continue_trace(None, "outer"):
            trace.bind(orderId="o1")
            with trace.span("inner"):
                log.info("inside")
                trace.bind(productId="p1")
            log.info("behind")
        with trace.continue_trace(None, "other"):
            log.info("other")
        with trace.span("alone"):
            trace.bind(orderId="o3")
            log.info("alone")
        trace.bind(orderId="o2")
        log.info("outside")

    with capture_logs() as lines:
        Context().run(work)
    about = {line["message"]: {name: line[name] for name in line if name.endswith("Id")} for line in lines}
    ids = about["behind"]["traceId"]
    assert about == {
        "inside": {"traceId": ids, "orderId": "o1"},
        "behind": {"traceId": ids, "orderId": "o1", "productId": "p1"},
        "other": {"traceId": about["other"]["traceId"]},
        "alone": {"orderId": "o3"},
        "outside": {},
    }
