"""Every text of the shop is in every catalog of translations, and each translation has the names of its text."""

import re
from pathlib import Path

import pytest
from babel.messages.pofile import read_po

SHOP = Path(__file__).parents[3] / "services" / "storefront"
CATALOGS = sorted((SHOP / "translations").glob("*.po"))
_TEXT = re.compile(r"""(?:\b_|translate)\(\s*(["'])((?:(?!\1).)*)\1""")
_NAME = re.compile(r"{(\w+)}")


def texts() -> set[str]:
    files = [*SHOP.glob("*.py"), *SHOP.glob("templates/**/*.*")]
    return {found[2] for file in files for found in _TEXT.finditer(file.read_text())}


@pytest.mark.parametrize("catalog", CATALOGS, ids=lambda file: file.stem)
def test_catalog_translates_every_text_and_no_other(catalog: Path) -> None:
    with catalog.open("rb") as file:
        known = {str(each.id): str(each.string) for each in read_po(file) if each.id}
    assert known.keys() == texts()
    assert all(known.values())
    differing = [text for text, found in known.items() if set(_NAME.findall(text)) != set(_NAME.findall(found))]
    assert differing == []
