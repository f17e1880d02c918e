"""`mercato contracts`: the OpenAPI and AsyncAPI documents of the services, generated from their code."""

import sys
from pathlib import Path

import click

from mercato.catalog import catalog
from mercato.cli.services import load_service
from mercato.contracts.files import SERVICES, drifted


@click.command()
@click.option("--check", is_flag=True, help="Write nothing; exit 1 if a file differs from the code.")
def contracts(check: bool) -> None:
    """Generate OpenAPI and AsyncAPI documents."""
    found: dict[Path, str] = {}
    for name in catalog():
        found |= drifted(load_service(name))
    for path, text in found.items():
        click.echo(f"{'drifted' if check else 'written'}: {path.relative_to(SERVICES.parent)}")
        if not check:
            path.parent.mkdir(exist_ok=True)
            path.write_text(text, encoding="utf-8")
    if check and found:
        click.echo("run: mercato contracts", err=True)
        sys.exit(1)
    if not found:
        click.echo("every contract matches the code")
