"""Release 0.2.0 renamed code and declared errors; its public contracts are those of 0.1.0.

Both recordings are compared with references resolved and wording left out: summaries, descriptions, titles, and names
of components. An error response may be new, and says more about its problem; nothing else may differ.
"""

from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.releases.record import FOLDER

WORDING = ("summary", "description", "title", "operationId")
CONTRACTS = sorted((FOLDER / "0.1.0" / "contracts").glob("*/*.yaml"))


@pytest.mark.parametrize("path", CONTRACTS, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_contracts_differ_from_the_release_before_only_by_errors_and_wording(path: Path) -> None:
    before = yaml.safe_load(path.read_text())
    after = yaml.safe_load((FOLDER / "0.2.0" / "contracts" / path.parent.name / path.name).read_text())
    assert essence(after, after) == essence(before, before)


def essence(node: Any, document: Any) -> Any:
    """The node without wording and error responses, its references resolved."""
    if isinstance(node, list):
        return [essence(each, document) for each in node]
    if not isinstance(node, dict):
        return node
    if node.get("$ref", "").startswith("#/"):
        return essence(target(node["$ref"], document), document)
    kept = {}
    for name, value in node.items():
        if name in WORDING and isinstance(value, str) or name in ("components", "info"):
            continue
        if name == "responses":
            value = {status: answer for status, answer in value.items() if int(status) < 400}
        kept[name] = essence(value, document)
    return kept


def target(reference: str, document: Any) -> Any:
    """What a reference within the document points to."""
    for part in reference.removeprefix("#/").split("/"):
        document = document[part.replace("~1", "/").replace("~0", "~")]
    return document
