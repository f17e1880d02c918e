"""Time of an import of generated rows, by its command, into a platform that handles its events meanwhile."""

import json
import time
from pathlib import Path
from typing import Any

from tests.bench.shop import running_shop
from tests.system.platform import Shop

ROWS, BAR_S = 4000, 60.0
SHORT_ROWS = 500
_HEADER = (
    "Handle,Title,Body (HTML),Type,Option1 Value,Variant Inventory Tracker,Variant Inventory Qty,Variant Price,Status"
)
_VARIANTS = 4


def run(short: bool) -> list[dict[str, Any]]:
    """Import the rows into an empty catalog, then again; the second one finds nothing to change."""
    rows = SHORT_ROWS if short else ROWS
    with running_shop() as shop:
        file = shop.data / "products.csv"
        file.write_text("\n".join([_HEADER, *(_row(number) for number in range(rows))]))
        created_s, unchanged_s = (_import_s(shop, file, outcome, rows) for outcome in ("created", "unchanged"))
    bar_s = BAR_S * rows / ROWS
    return [
        {
            "name": f"import of {rows:,} rows",
            "value": created_s,
            "unit": "s",
            "bar": f"<= {bar_s:g}",
            "goal": True,
            "ok": created_s <= bar_s,
        },
        {"name": "again, unchanged", "value": unchanged_s, "unit": "s"},
    ]


def _row(number: int) -> str:
    product, variant = divmod(number, _VARIANTS)
    title, body = (f"Product {product}", "<p>A text of some words.</p>" * 20) if variant == 0 else ("", "")
    return f"made-{product},{title},{body},Type {product % 20},Size {variant},shopify,{number % 50},19.90,active"


def _import_s(shop: Shop, file: Path, outcome: str, rows: int) -> float:
    began = time.monotonic()
    done = shop.mercato("import", "products", str(file), "--json")
    took_s = time.monotonic() - began
    assert json.loads(done.stdout)[outcome] == rows, done.stderr
    return took_s
