"""Draws the pictures of `data/catalog.csv` into `data/pictures`: `python -m tools.draw_pictures`. They are CC0.

A picture is a motif of a few shapes in the colors of its product, over a soft ground.
"""

import csv
from pathlib import Path

from tools.drawing.camp import (
    bottle,
    candle,
    cushion,
    dripper,
    dry_bags,
    festoon,
    grinder,
    hammock,
    headlamp,
    lantern,
    mat,
    mug,
    pack,
    pegs,
    pots,
    satchel,
    sheet,
    skillet,
    sleeping_bag,
    spork,
    stove,
    tarp,
    tent,
    water_filter,
    wood_stove,
)
from tools.drawing.canvas import GROUNDS, Canvas, Draw, shade
from tools.drawing.home import (
    basket,
    beanie,
    board,
    bowl,
    crock,
    feeder,
    fire_bowl,
    gloves,
    hat,
    hooks,
    jacket,
    jumper,
    knife,
    plate,
    saw,
    seed_box,
    shirt,
    socks,
    spoons,
    stool,
    throw,
    towel,
    trowel,
    watering_can,
)

DATA = Path(__file__).parents[1] / "data"

MOTIFS: dict[str, tuple[Draw, str]] = {
    "linden-2-tent": (tent, "#6f9a5b"), "linden-4-family-tent": (tent, "#d08a4a"),
    "wren-one-person-shelter": (tent, "#5f7fa0"), "harbour-tarp": (tarp, "#b5694a"),
    "ground-sheet": (sheet, "#71806b"), "steel-pegs-set-of-ten": (pegs, "#d0603f"),
    "heron-down-bag": (sleeping_bag, "#4f6f95"), "plover-summer-bag": (sleeping_bag, "#7fa56b"),
    "cloudrest-mat": (mat, "#6d87a8"), "folding-foam-mat": (mat, "#d8a648"),
    "inflatable-pillow": (cushion, "#8fa9c4"), "silk-liner": (sleeping_bag, "#c9b7a0"),
    "kestrel-hammock": (hammock, "#c56b52"), "ember-gas-stove": (stove, "#4e7a8c"),
    "twig-wood-stove": (wood_stove, "#8f9aa3"), "camp-mug": (mug, "#3f6f8f"), "trail-cook-set": (pots, "#97a3ad"),
    "cast-iron-skillet": (skillet, "#3a3d42"), "folding-spork": (spork, "#8794a0"),
    "coffee-dripper": (dripper, "#c9694f"), "hand-grinder": (grinder, "#9aa5ae"),
    "water-bottle": (bottle, "#5d9a8b"), "thermos-flask": (bottle, "#b04f43"),
    "water-filter": (water_filter, "#4f86b0"), "alder-28-day-pack": (pack, "#6b8f5a"),
    "alder-55-trekking-pack": (pack, "#c07a3e"), "roll-top-satchel": (satchel, "#a8763f"),
    "dry-bags-set-of-three": (dry_bags, "#d59b3a"), "hip-pouch": (satchel, "#6f7f95"),
    "rain-cover": (pack, "#d9b23c"), "glowworm-lantern": (lantern, "#5f8f74"),
    "firefly-headlamp": (headlamp, "#d3663f"), "storm-candle": (candle, "#a34f45"),
    "festoon-lights": (festoon, "#e0b050"), "merino-base-layer": (shirt, "#6a7f8f"),
    "drizzle-jacket": (jacket, "#d9a93f"), "boiled-wool-jumper": (jumper, "#8f4f55"),
    "wool-socks-two-pairs": (socks, "#a4654f"), "fishermans-beanie": (beanie, "#3f5f7f"),
    "felt-sun-hat": (hat, "#c9a878"), "work-gloves": (gloves, "#c08a4e"),
    "oak-chopping-board": (board, "#c79a63"), "stoneware-bowl": (bowl, "#7f97a0"),
    "stoneware-dinner-plate": (plate, "#8da3a0"), "linen-tea-towels-pair": (towel, "#9fb3a0"),
    "carbon-steel-knife": (knife, "#7a5236"), "sourdough-crock": (crock, "#d8cbb5"),
    "cedar-spoon-set": (spoons, "#b87a4c"), "lambswool-throw": (throw, "#a8837a"),
    "floor-cushion": (cushion, "#b87f5a"), "beech-stool": (stool, "#d9ae78"),
    "wall-hooks-set-of-four": (hooks, "#5a5f66"), "pine-smoke-candle": (candle, "#5f7f68"),
    "log-basket": (basket, "#b0824f"), "hand-fork-and-trowel": (trowel, "#6f7f86"),
    "copper-watering-can": (watering_can, "#c57a4a"), "seed-box": (seed_box, "#b98a58"),
    "folding-saw": (saw, "#c2603f"), "bird-feeder": (feeder, "#9a6a45"), "fire-bowl": (fire_bowl, "#4a4038"),
}  # fmt: skip
"""Handle of a product -> what is drawn for it, and in which color."""


def main() -> None:
    """Draw every picture that the catalog names; a second one of a product has the ground of dusk."""
    types: dict[str, str] = {}
    (DATA / "pictures").mkdir(exist_ok=True)
    for row in csv.DictReader((DATA / "catalog.csv").open(encoding="utf-8", newline="")):
        handle = row["Handle"]
        types.setdefault(handle, row["Type"])
        if not row["Image Src"]:
            continue
        draw, color = MOTIFS[handle]
        upper, lower = GROUNDS[types[handle]]
        ground = (upper, lower) if row["Image Position"] == "1" else (shade(lower, 0.92), shade(lower, 0.68))
        canvas = Canvas(ground, color)
        draw(canvas)
        canvas.save(DATA / row["Image Src"])


if __name__ == "__main__":
    main()
