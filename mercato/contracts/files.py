"""The contract files of a service, committed beside its code: `services/<name>/contract/*.yaml`."""

from pathlib import Path
from typing import Any

import yaml

from chassis.service import Service
from mercato.contracts import asyncapi, commands, openapi, sagas

SERVICES = Path(__file__).resolve().parents[2] / "services"
_HEAD = "# Generated from the code by `mercato contracts`; do not edit.\n"


class _Dumper(yaml.SafeDumper):
    """A dumper that indents lists and writes no aliases."""

    def ignore_aliases(self, data: Any) -> bool:
        return True

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:
        super().increase_indent(flow, False)


def contract(service: Service) -> dict[Path, str]:
    """Return the text of each contract file of a service, as the code is now."""
    folder = SERVICES / service.name / "contract"
    found = {
        folder / "openapi.yaml": _text(openapi.document(service)),
        folder / "asyncapi.yaml": _text(asyncapi.document(service)),
    }
    if service.commands:
        found[folder / "commands.yaml"] = _text(commands.document(service))
    if service.drivers:
        found[folder / "sagas.yaml"] = _text(sagas.document(service))
    return found


def drifted(service: Service) -> dict[Path, str]:
    """Return those files of `contract` that are missing or differ."""
    return {path: text for path, text in contract(service).items() if _committed(path) != text}


def _committed(path: Path) -> str:
    return path.read_text(encoding="utf-8") if path.is_file() else ""


def _text(document: dict[str, Any]) -> str:
    return _HEAD + yaml.dump(document, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=120)
