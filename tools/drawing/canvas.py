"""A picture while it is drawn. Coordinates are percent of the picture, from the upper left corner."""

from collections.abc import Callable
from pathlib import Path

from PIL import Image, ImageDraw, ImageFilter

SIZE, SCALE = 640, 3
QUALITY = 72

Point = tuple[float, float]
Draw = Callable[["Canvas"], None]

GROUNDS = {
    "Tents": ("#e4ecdf", "#b9cbb0"),
    "Sleeping": ("#e2e8f0", "#b7c4d6"),
    "Cooking": ("#f6e7d8", "#e3c4a4"),
    "Packs": ("#f0e9d6", "#d8c79b"),
    "Lights": ("#2f3a55", "#1d2438"),
    "Clothing": ("#efe3e4", "#d6bbbf"),
    "Kitchen": ("#eef0ea", "#cfd6c4"),
    "Living": ("#f3e8df", "#dcc3ae"),
    "Garden": ("#e3efe0", "#b5d0ae"),
}
"""Type of a product -> the upper and the lower color behind it."""
INK, STEEL, WOOD, FLAME = "#2d2f33", "#aab4bd", "#b98550", "#f2a33a"


def shade(color: str, factor: float) -> str:
    """Return a darker (below 1) or lighter (above 1) color."""
    parts = [int(color[place : place + 2], 16) for place in (1, 3, 5)]
    return "#" + "".join(f"{min(255, round(part * factor)):02x}" for part in parts)


class Canvas:
    """A picture while it is drawn; `main` is the color of its product, `dark` and `light` are made from it."""

    def __init__(self, ground: tuple[str, str], main: str) -> None:
        self.main, self.dark, self.light = main, shade(main, 0.72), shade(main, 1.25)
        self._side = SIZE * SCALE
        upper, lower = (Image.new("RGB", (1, 1), color) for color in ground)
        column = Image.new("RGB", (1, 2))
        column.paste(upper, (0, 0))
        column.paste(lower, (0, 1))
        self.image = column.resize((self._side, self._side), Image.Resampling.BICUBIC)
        self._draw = ImageDraw.Draw(self.image)

    def _at(self, *points: Point) -> list[Point]:
        return [(x * self._side / 100, y * self._side / 100) for x, y in points]

    def poly(self, color: str, *points: Point) -> None:
        self._draw.polygon(self._at(*points), fill=color)

    def oval(self, color: str, left: float, top: float, right: float, bottom: float) -> None:
        self._draw.ellipse(self._at((left, top), (right, bottom)), fill=color)

    def box(self, color: str, left: float, top: float, right: float, bottom: float, radius: float = 0) -> None:
        self._draw.rounded_rectangle(self._at((left, top), (right, bottom)), radius * self._side / 100, fill=color)

    def line(self, color: str, width: float, *points: Point) -> None:
        pixels = round(width * self._side / 100)
        at = self._at(*points)
        self._draw.line(at, fill=color, width=pixels, joint="curve")
        for x, y in (at[0], at[-1]):
            self._draw.ellipse((x - pixels / 2, y - pixels / 2, x + pixels / 2, y + pixels / 2), fill=color)

    def arc(self, color: str, width: float, left: float, top: float, right: float, bottom: float,
            start: float, end: float) -> None:  # fmt: skip
        at = self._at((left, top), (right, bottom))
        self._draw.arc([*at[0], *at[1]], start, end, fill=color, width=round(width * self._side / 100))

    def pie(self, color: str, left: float, top: float, right: float, bottom: float, start: float, end: float) -> None:
        at = self._at((left, top), (right, bottom))
        self._draw.pieslice([*at[0], *at[1]], start, end, fill=color)

    def glow(self, color: str, x: float, y: float, radius: float) -> None:
        """Light a round area softly."""
        mask = Image.new("L", (SIZE // 4, SIZE // 4))
        at = [(x - radius, y - radius), (x + radius, y + radius)]
        ImageDraw.Draw(mask).ellipse([(a * SIZE / 400, b * SIZE / 400) for a, b in at], fill=150)
        mask = mask.filter(ImageFilter.GaussianBlur(radius * SIZE / 1100)).resize(self.image.size)
        self.image.paste(Image.new("RGB", self.image.size, color), mask=mask)

    def shadow(self, left: float, right: float, y: float = 80) -> None:
        mask = Image.new("L", (SIZE // 4, SIZE // 4))
        at = [(left, y - 2.5), (right, y + 2.5)]
        ImageDraw.Draw(mask).ellipse([(a * SIZE / 400, b * SIZE / 400) for a, b in at], fill=90)
        mask = mask.filter(ImageFilter.GaussianBlur(2)).resize(self.image.size)
        self.image.paste(Image.new("RGB", self.image.size, "#20242c"), mask=mask)

    def save(self, path: Path) -> None:
        small = self.image.resize((SIZE, SIZE), Image.Resampling.LANCZOS)
        small.save(path, "WEBP", quality=QUALITY, method=6)
