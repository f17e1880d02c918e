"""`mercato settings`: docs/settings.md, written from the settings models."""

import sys
from pathlib import Path

import click

from chassis.settings import Description, Settings, describe
from mercato.settings import models

PAGE = Path(__file__).parents[2] / "docs" / "settings.md"
HEAD = """# Settings

`mercato settings` makes this page from the code; do not edit it.

A setting is an environment variable of a process. A process reads its settings once, when it starts, and exits with one
line if a value is wrong. On one machine, set them before `make up` (`PORT=9000 make up`); in the chart they are
`settings:` of a service or of `defaults:` ([kubernetes.md](kubernetes.md)).
"""
TAIL = """
## Variables of others

| variable | read by | meaning |
|---|---|---|
| `OTEL_EXPORTER_OTLP_ENDPOINT` | every process | exports traces by OTLP over HTTP: [012](decisions/012-traces.md) |
| `OTEL_LOGS_EXPORTER` | every process | `otlp` exports log lines, too: [logs.md](logs.md) |
| `OTEL_EXPORTER_OTLP_*` | every process | those of OpenTelemetry |
| `OTEL_RESOURCE_ATTRIBUTES` | every process | attributes of spans and lines: [012](decisions/012-traces.md) |
| `OTEL_TRACES_SAMPLER`, `OTEL_BSP_*` | every process | those of the OpenTelemetry SDK |
| `MERCATO_VALUES` | the command `mercato` | another file in place of `charts/mercato/values.yaml` |
| `ENGINES` | tests | folder with commands that start MongoDB and Kafka: [engines.md](engines.md) |
"""
UNITS = (("days", 86400), ("hours", 3600), ("minutes", 60))


@click.command()
@click.option("--check", is_flag=True, help="Write nothing; exit 1 if the page differs from the code.")
def settings(check: bool) -> None:
    """Generate docs/settings.md."""
    text = settings_page()
    if PAGE.exists() and PAGE.read_text(encoding="utf-8") == text:
        click.echo("docs/settings.md is up to date")
    elif check:
        click.echo("docs/settings.md differs from the code; run: mercato settings", err=True)
        sys.exit(1)
    else:
        PAGE.write_text(text, encoding="utf-8")
        click.echo("written: docs/settings.md")


def settings_page() -> str:
    """Return the text of docs/settings.md."""
    return HEAD + "".join(_section(owner, model) for owner, model in models().items()) + TAIL


def _section(owner: str, model: type[Settings]) -> str:
    title = {"": "Every service", "launcher": "The launcher (`mercato up`)"}.get(owner, f"`{owner}`")
    rows = "".join(_row(each) for each in describe(model))
    return f"\n## {title}\n\n| setting | default | unit | meaning |\n|---|---|---|---|\n{rows}"


def _row(setting: Description) -> str:
    meaning = " ".join(setting.meaning.split()).replace("|", "\\|")
    default = f"`{setting.default}`{_in_words(setting)}" if setting.default else ""
    return f"| `{setting.name}` | {default} | {setting.unit} | {meaning} |\n"


def _in_words(setting: Description) -> str:
    """Return a long duration in words, such as " (7 days)"."""
    if setting.unit != "s":
        return ""
    seconds = float(setting.default)
    found = (f" ({seconds / length:.0f} {unit})" for unit, length in UNITS if seconds >= 2 * length)
    return next(found, "")
