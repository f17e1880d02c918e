"""`mercato new`: a service like the others, with its tests, its contract and its entries in the lists of services."""

import keyword
import re
import shutil
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from string import Template

import click
import yaml

from mercato.catalog import CHART
from mercato.contracts.files import SERVICES, contract

ROOT = SERVICES.parent
_NAME = re.compile(r"[a-z][a-z0-9]{1,29}")
_TEMPLATE = Path(__file__).parents[1] / "template"
_ENTRY = "values.yaml.txt"
_FILES = {
    "init.py.txt": "services/$name/__init__.py",
    "service.py.txt": "services/$name/service.py",
    "messages.py.txt": "services/$name/messages.py",
    "api.py.txt": "services/$name/api.py",
    "application.py.txt": "services/$name/application.py",
    "repository.py.txt": "services/$name/repository.py",
    "unit.py.txt": "tests/unit/$name/test_$name.py",
    "system.py.txt": "tests/system/test_$name.py",
}
_LISTS = {
    "docker-compose.yml": [
        ('      "\n\nx-tool:', "      $name=$name:8080,\\\n"),
        (
            "\n  prometheus:\n    <<: *tool\n",
            '  $name: {<<: *service, image: "mercato/$name:$${TAG:-dev}"}\n'
            '  $name-worker: {<<: *service, image: "mercato/$name:$${TAG:-dev}", command: [mercato, worker, $name]}\n',
        ),
    ],
    "skaffold.yaml": [
        (
            "\ndeploy:\n",
            "    - image: mercato/$name\n      requires: [{image: mercato/base, alias: BASE}]\n"
            "      docker: {dockerfile: services/Dockerfile, buildArgs: {SERVICE: $name}}\n"
            '      sync: {manual: [{src: "services/$name/**/*.py", dest: /tmp/app}]}\n',
        ),
        ("\nportForward:\n", '          services.$name.image.tag: "{{ .IMAGE_TAG_mercato_$name }}"\n'),
    ],
    "k8s/observability/prometheus/scrape/compose.yaml": [
        ("    relabel_configs:\n", "          - $name\n          - $name-worker\n"),
    ],
}
"""File -> (a text that is there once, the lines of a service to insert before it)."""


@click.command()
@click.argument("name")
def new(name: str) -> None:
    """Create a service with tests and contract.

    Adds its entries to the chart and to the other lists of services.
    """
    if not CHART.is_file():
        raise click.ClickException("a service is created in the source tree, and this is not one")
    values = CHART.read_text(encoding="utf-8")
    _check_name(name, values)
    extended = _with_entry(values, _fill((_TEMPLATE / _ENTRY).read_text(encoding="utf-8"), name))
    files = {
        ROOT / _fill(path, name): _fill((_TEMPLATE / template).read_text(encoding="utf-8"), name)
        for template, path in _FILES.items()
    }
    lists = {path: path.read_text(encoding="utf-8") for file in _LISTS if (path := ROOT / file).is_file()}
    longer = {path: _with_lines(path, text, name) for path, text in lists.items()}
    try:
        _write(files)
        _write(contract(import_module(f"services.{name}.service").service))
        for path, text in longer.items():
            _replace(path, text)
        _replace(CHART, extended)  # last: until then the service is not in the list, and can be removed
    except BaseException:
        for path, text in lists.items():
            _replace(path, text)
        for path in files:
            if path.is_file():
                path.unlink()
        for folder in (SERVICES / name, ROOT / "tests" / "unit" / name):
            shutil.rmtree(folder, ignore_errors=True)
        raise
    for path in (*files, SERVICES / name / "contract", *lists, CHART):
        click.echo(path.relative_to(ROOT))
    click.echo("next steps: docs/building-a-service.md")


def _check_name(name: str, values: str) -> None:
    """Raise ClickException if the name is not valid everywhere, or is taken."""
    if not _NAME.fullmatch(name) or keyword.iskeyword(name) or yaml.safe_load(name) != name:
        rule = "2 to 30 lower-case letters and digits, a letter first, and no keyword of Python or YAML"
        raise click.ClickException(f"{name!r} is not a valid service name: {rule}")
    served = {route for entry in yaml.safe_load(values)["services"].values() for route in entry.get("routes", ())}
    taken = [route for route in (f"/api/{name}",) if route in served]
    taken += [str(path.relative_to(ROOT)) for path in _reserved_paths(name) if path.exists()]
    if taken:
        raise click.ClickException(f"the name {name!r} is taken by {taken[0]}")


def _reserved_paths(name: str) -> list[Path]:
    """Return the paths that must not exist; pytest takes test files of one name for one module."""
    return [SERVICES / name, ROOT / "tests" / "unit" / name, *ROOT.glob(f"tests/**/test_{name}.py")]


def _with_entry(values: str, entry: str) -> str:
    """Return the values with the entry at the end of their `services:`; comments stay in place."""
    text = re.sub(r"(?m)^services:.*(?:\n+ +.*)*", lambda found: f"{found[0]}\n{entry.rstrip()}", values, count=1)
    wanted = yaml.safe_load(values)
    wanted["services"] |= yaml.safe_load(entry)
    if yaml.safe_load(text) != wanted:
        raise click.ClickException(f"{CHART.name} does not have one block, indented by two spaces, per service")
    return text


def _with_lines(path: Path, text: str, name: str) -> str:
    """Return the text of a list with the lines of the service inserted."""
    for follows, lines in _LISTS[str(path.relative_to(ROOT))]:
        if text.count(follows) != 1:
            raise click.ClickException(
                f"{path.name} does not have the expected layout: {follows.strip()!r} must occur once"
            )
        text = text.replace(follows, _fill(lines, name) + follows)
    return text


def _replace(path: Path, text: str) -> None:
    """Replace the file atomically."""
    draft = path.with_suffix(".new")
    try:
        draft.write_text(text, encoding="utf-8")
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)


def _fill(text: str, name: str) -> str:
    return Template(text).substitute(name=name)


def _write(files: Mapping[Path, str]) -> None:
    for path, text in files.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
