"""`mercato reconcile payments`: does the payment provider hold what is recorded here?"""

import click

from mercato.cli.audit import Report
from mercato.cli.output import Duration, as_json
from mercato.cli.services import attach_store, load_service


@click.group()
def reconcile() -> None:
    """Compare the platform with systems outside it."""


@reconcile.command()
@click.option("--since", type=Duration(), default="3d", show_default=True, help="How far back to compare.")
@as_json
def payments(since: float, as_json: bool) -> None:
    """Compare charges at the payment provider with recorded ones.

    It compares every charge and refund, both ways. The exit code is that of `mercato audit`: 0 if all agree, 1 if
    something does not, 2 if nothing was found and something could not be checked.
    """
    from services.payments import reconciliation

    report = Report(as_json)
    with report.concluded():
        service = attach_store(load_service("payments"))
        report.check(service, reconciliation.over(since))


commands = {"reconcile": reconcile}
