"""Writes the dashboards, one module each: `python k8s/observability/dashboards/boards.py [FOLDER]`."""

import json
import sys
from pathlib import Path

from checkout import checkout
from events import events
from overview import overview
from runtime import runtime
from service import service

BOARDS = {"overview": overview, "checkout": checkout, "events": events, "service": service, "runtime": runtime}


def main(folder: Path) -> None:
    for name, each in BOARDS.items():
        (folder / f"{name}.json").write_text(json.dumps(each, indent=1) + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent)
