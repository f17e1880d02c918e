"""`mercato new`: a service as the others are, with its tests, its contract and its entry wherever they are listed."""

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
    "handlers.py.txt": "services/$name/handlers.py",
    "api.py.txt": "services/$name/api.py",
    "unit.py.txt": "tests/unit/$name/test_$name.py",
    "system.py.txt": "tests/system/test_$name.py",
}
_LISTS = {
    "docker-compose.yml": [
        ('      "\n    ADDRESSES:', "      $name,\\\n"),
        ('      "\n\nx-tool:', "      $name=$name:8080,\\\n"),
        (
            "\nvolumes:\n",
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
"""File -> (what follows, the lines of a service that are put before it)."""


@click.command()
@click.argument("name")
def new(name: str) -> None:
    """Make a service: its folder, its tests, its entry in the chart and in the other lists of services."""
    if not CHART.is_file():
        raise click.ClickException("services are made in the source tree, and this is not one")
    values = CHART.read_text(encoding="utf-8")
    _check(name, values)
    extended = _extended(values, _filled((_TEMPLATE / _ENTRY).read_text(encoding="utf-8"), name))
    files = {
        ROOT / _filled(path, name): _filled((_TEMPLATE / template).read_text(encoding="utf-8"), name)
        for template, path in _FILES.items()
    }
    lists = {path: path.read_text(encoding="utf-8") for file in _LISTS if (path := ROOT / file).is_file()}
    longer = {path: _listed(path, text, name) for path, text in lists.items()}
    try:
        _write(files)
        _write(contract(import_module(f"services.{name}.service").service))
        for path, text in longer.items():
            _replace(path, text)
        _replace(CHART, extended)  # last: until then the service is not in the list, and may be taken back
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
    click.echo("what comes next is in docs/building-a-service.md")


def _check(name: str, values: str) -> None:
    """Raises ClickException for a name that cannot be everything's, or that something has."""
    if not _NAME.fullmatch(name) or keyword.iskeyword(name) or yaml.safe_load(name) != name:
        rule = "2 to 30 lower case letters and digits, a letter first, and no word of Python or YAML"
        raise click.ClickException(f"{name!r} cannot be the name of a service: {rule}")
    served = {route for entry in yaml.safe_load(values)["services"].values() for route in entry.get("routes", ())}
    taken = [route for route in (f"/api/{name}",) if route in served]
    taken += [str(path.relative_to(ROOT)) for path in _namesakes(name) if path.exists()]
    if taken:
        raise click.ClickException(f"the name {name!r} is taken: there is {taken[0]}")


def _namesakes(name: str) -> list[Path]:
    """What may be there already; test files that have one name are one module to pytest."""
    return [SERVICES / name, ROOT / "tests" / "unit" / name, *ROOT.glob(f"tests/**/test_{name}.py")]


def _extended(values: str, entry: str) -> str:
    """The values with an entry at the end of their `services:`; each comment stays where it is."""
    text = re.sub(r"(?m)^services:.*(?:\n+ +.*)*", lambda found: f"{found[0]}\n{entry.rstrip()}", values, count=1)
    wanted = yaml.safe_load(values)
    wanted["services"] |= yaml.safe_load(entry)
    if yaml.safe_load(text) != wanted:
        raise click.ClickException(f"{CHART.name} is not laid out as a block of two spaces for each service")
    return text


def _listed(path: Path, text: str, name: str) -> str:
    """The text of a list with the lines of the service in their places."""
    for follows, lines in _LISTS[str(path.relative_to(ROOT))]:
        if text.count(follows) != 1:
            raise click.ClickException(
                f"{path.name} is not laid out as it was: {follows.strip()!r} is to be there once"
            )
        text = text.replace(follows, _filled(lines, name) + follows)
    return text


def _replace(path: Path, text: str) -> None:
    """Whoever reads the file finds the old one or the new one."""
    draft = path.with_suffix(".new")
    try:
        draft.write_text(text, encoding="utf-8")
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)


def _filled(text: str, name: str) -> str:
    return Template(text).substitute(name=name)


def _write(files: Mapping[Path, str]) -> None:
    for path, text in files.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
