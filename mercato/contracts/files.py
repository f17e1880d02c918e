"""The contracts as files: `services/<name>/contract/openapi.yaml` and `asyncapi.yaml`, kept beside the code."""

from pathlib import Path
from typing import Any

import yaml

from chassis.service import Service
from mercato.contracts import asyncapi, openapi

SERVICES = Path(__file__).resolve().parents[2] / "services"
_HEAD = "# Made from the code by `mercato contracts`; do not edit.\n"


class _Dumper(yaml.SafeDumper):
    """Lists are indented, and what occurs twice is written twice."""

    def ignore_aliases(self, data: Any) -> bool:
        return True

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:
        super().increase_indent(flow, False)


def contract(service: Service) -> dict[Path, str]:
    """The text of each file of a service's contract, as the code says it now."""
    folder = SERVICES / service.name / "contract"
    return {
        folder / "openapi.yaml": _text(openapi.document(service)),
        folder / "asyncapi.yaml": _text(asyncapi.document(service)),
    }


def drifted(service: Service) -> dict[Path, str]:
    """Those of `contract` whose file holds something else, or is not there."""
    return {path: text for path, text in contract(service).items() if _held(path) != text}


def _held(path: Path) -> str:
    return path.read_text(encoding="utf-8") if path.is_file() else ""


def _text(document: dict[str, Any]) -> str:
    return _HEAD + yaml.dump(document, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=120)
