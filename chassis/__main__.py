"""`python -m chassis web|worker MODULE:SERVICE`: one process of one service.

    PORT=8001 HEALTH_PORT=9001 python -m chassis web greetings.service:service

Settings come from the environment: see `chassis.settings.Settings`.
"""

import argparse
from importlib import import_module

from chassis.processes import run_web, run_worker
from chassis.service import Service


def main() -> None:
    """Run the process that the command line names."""
    parser = argparse.ArgumentParser(prog="python -m chassis", description="Run one process of one service.")
    parser.add_argument("process", choices=["web", "worker"])
    parser.add_argument("service", type=_service, help="where the Service is: module:attribute")
    arguments = parser.parse_args()
    service: Service = arguments.service
    if arguments.process == "web":
        run_web(service.name, lambda: service)
    else:
        run_worker(lambda: service)


def _service(place: str) -> Service:
    module, _, attribute = place.partition(":")
    try:
        found = getattr(import_module(module), attribute)
    except (ImportError, AttributeError, ValueError) as error:
        raise argparse.ArgumentTypeError(f"cannot load {place}: {error}") from None
    if not isinstance(found, Service):
        raise argparse.ArgumentTypeError(f"{place} is not a chassis.Service")
    return found


if __name__ == "__main__":
    main()
