"""Draws the pictures of `data/catalog.csv` into `data/pictures`: `python tools/draw_pictures.py`. They are CC0.

A picture is a motif of a few shapes in the colors of its product, over a soft ground. Coordinates are percent of the
picture, from the upper left corner.
"""

import csv
from collections.abc import Callable
from pathlib import Path

from PIL import Image, ImageDraw, ImageFilter

DATA = Path(__file__).parents[1] / "data"
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


def tent(c: Canvas) -> None:
    c.shadow(12, 88, 76)
    c.poly(c.dark, (50, 26), (86, 76), (62, 76))
    c.poly(c.main, (50, 26), (62, 76), (14, 76))
    c.poly(shade(c.main, 0.45), (48, 42), (56, 76), (38, 76))
    c.poly(c.light, (48, 42), (38, 76), (31, 76))
    c.line(INK, 0.8, (50, 26), (50, 20))


def tarp(c: Canvas) -> None:
    c.shadow(18, 84, 78)
    for x in (20, 80):
        c.line(WOOD, 1.6, (x, 34), (x, 78))
    c.poly(c.main, (10, 48), (20, 34), (80, 34), (90, 48), (64, 44), (50, 47), (36, 44))
    c.poly(c.dark, (20, 34), (50, 47), (80, 34))


def sheet(c: Canvas) -> None:
    c.shadow(14, 86, 74)
    c.poly(c.main, (28, 42), (72, 42), (88, 72), (12, 72))
    c.poly(c.light, (28, 42), (72, 42), (74, 46), (26, 46))
    for x, y in ((28, 42), (72, 42), (88, 72), (12, 72)):
        c.oval(STEEL, x - 2, y - 2, x + 2, y + 2)


def pegs(c: Canvas) -> None:
    c.shadow(18, 82, 80)
    for x in (26, 38, 50, 62, 74):
        c.line(STEEL, 2.6, (x, 28), (x, 72))
        c.poly(STEEL, (x - 1.3, 72), (x + 1.3, 72), (x, 80))
        c.arc(c.main, 2.4, x - 5, 20, x + 5, 30, 90, 360)


def sleeping_bag(c: Canvas) -> None:
    c.shadow(24, 78, 84)
    c.box(c.main, 30, 16, 70, 84, 19)
    c.oval(c.dark, 36, 19, 64, 41)
    c.oval("#f5efe6", 41, 25, 59, 39)
    for y in (48, 57, 66, 75):
        c.line(c.dark, 0.7, (31, y), (69, y))
    c.line(c.light, 1, (50, 42), (50, 82))


def mat(c: Canvas) -> None:
    c.shadow(16, 84, 76)
    c.box(c.main, 30, 56, 88, 74, 4)
    for x in (46, 58, 70, 82):
        c.line(c.dark, 0.7, (x, 57), (x, 73))
    c.oval(c.dark, 12, 40, 48, 76)
    c.oval(c.main, 15, 43, 45, 73)
    c.oval(c.light, 22, 50, 38, 66)
    c.oval(c.dark, 27, 55, 33, 61)


def cushion(c: Canvas) -> None:
    c.shadow(18, 82, 72)
    c.poly(c.main, (16, 36), (50, 32), (84, 36), (80, 53), (84, 70), (50, 73), (16, 70), (20, 53))
    c.line(c.dark, 0.9, (16, 36), (20, 53), (16, 70))
    c.line(c.dark, 0.9, (84, 36), (80, 53), (84, 70))
    for x in (34, 50, 66):
        c.line(c.light, 1.4, (x, 40), (x, 66))
    c.oval(c.dark, 48, 51, 52, 55)


def hammock(c: Canvas) -> None:
    for x in (14, 86):
        c.box(WOOD, x - 4, 16, x + 4, 84, 2)
    c.shadow(24, 76, 84)
    c.pie(c.main, 18, 8, 82, 72, 20, 160)
    c.arc(c.light, 2.4, 24, 2, 76, 62, 30, 150)
    c.line(INK, 0.7, (14, 38), (20, 51))
    c.line(INK, 0.7, (86, 38), (80, 51))


def flame(c: Canvas, x: float, y: float, height: float) -> None:
    c.poly(FLAME, (x, y - height), (x + height * 0.36, y - height * 0.3), (x, y), (x - height * 0.36, y - height * 0.3))
    c.oval(FLAME, x - height * 0.34, y - height * 0.58, x + height * 0.34, y)
    c.oval("#ffe29a", x - height * 0.16, y - height * 0.38, x + height * 0.16, y - height * 0.04)


def stove(c: Canvas) -> None:
    c.shadow(22, 78, 82)
    c.box(c.main, 32, 54, 68, 82, 4)
    c.box(c.dark, 32, 66, 68, 70)
    c.box(STEEL, 44, 46, 56, 54, 1)
    for x, end in ((44, 30), (56, 70), (50, 50)):
        c.line(STEEL, 1.6, (x, 48), (end, 38))
    flame(c, 50, 42, 18)


def wood_stove(c: Canvas) -> None:
    c.shadow(26, 74, 82)
    c.box(STEEL, 32, 40, 68, 82, 3)
    c.box(shade(STEEL, 0.75), 38, 60, 62, 76, 2)
    flame(c, 50, 76, 15)
    flame(c, 50, 42, 20)
    for x in (38, 46, 54, 62):
        c.oval(INK, x - 1.4, 47, x + 1.4, 50)


def mug(c: Canvas) -> None:
    c.shadow(24, 82, 80)
    c.arc(c.dark, 4, 58, 40, 84, 68, 270, 90)
    c.box(c.main, 28, 32, 68, 80, 6)
    c.oval(c.dark, 28, 27, 68, 38)
    c.oval("#5b3a26", 31, 29, 65, 37)
    c.box(c.light, 33, 44, 37, 72, 2)


def pots(c: Canvas) -> None:
    c.shadow(14, 86, 80)
    c.box(c.main, 22, 44, 74, 80, 5)
    c.oval(shade(STEEL, 1.1), 20, 38, 76, 50)
    c.oval(shade(STEEL, 0.85), 24, 40, 72, 48)
    c.line(INK, 2.6, (74, 52), (92, 48))
    c.box(INK, 44, 32, 52, 38, 2)


def skillet(c: Canvas) -> None:
    c.shadow(12, 74, 80)
    c.line(INK, 6, (62, 40), (88, 18))
    c.oval(INK, 12, 30, 72, 82)
    c.oval("#45484e", 17, 35, 67, 77)
    c.oval("#fdf6ea", 30, 44, 56, 68)
    c.oval(FLAME, 38, 50, 49, 61)


def spork(c: Canvas) -> None:
    c.shadow(38, 62, 86)
    c.line(c.main, 5, (50, 44), (50, 84))
    c.oval(c.main, 39, 14, 61, 50)
    for x in (45, 50, 55):
        c.line(GROUNDS["Cooking"][0], 1.6, (x, 12), (x, 24))
    c.oval(c.dark, 44, 30, 56, 45)


def dripper(c: Canvas) -> None:
    c.shadow(26, 74, 84)
    c.poly(c.main, (26, 24), (74, 24), (57, 50), (43, 50))
    c.oval(c.light, 26, 19, 74, 29)
    c.oval("#6b442b", 32, 21, 68, 28)
    c.box(c.dark, 34, 50, 66, 54, 1)
    c.box("#dfe9ee", 34, 56, 66, 84, 6)
    c.box("#6b442b", 36, 68, 64, 82, 4)


def grinder(c: Canvas) -> None:
    c.shadow(32, 68, 84)
    c.line(STEEL, 2.2, (50, 24), (76, 20))
    c.oval(WOOD, 72, 12, 81, 22)
    c.box(c.main, 36, 28, 64, 60, 4)
    c.box(WOOD, 38, 60, 62, 84, 4)
    c.box(c.light, 40, 32, 44, 56, 2)


def bottle(c: Canvas) -> None:
    c.shadow(34, 66, 86)
    c.box(INK, 43, 12, 57, 22, 2)
    c.poly(c.main, (44, 22), (56, 22), (64, 36), (36, 36))
    c.box(c.main, 36, 32, 64, 86, 7)
    c.box(c.dark, 36, 62, 64, 68)
    c.box(c.light, 40, 38, 44, 80, 2)


def water_filter(c: Canvas) -> None:
    c.shadow(30, 70, 86)
    c.box(c.main, 36, 16, 64, 60, 8)
    c.box("#dcebf2", 40, 60, 60, 86, 4)
    c.box("#8fc1d6", 42, 70, 58, 84, 3)
    for y in (26, 34, 42, 50):
        c.line(c.dark, 1.2, (40, y), (60, y))


def pack(c: Canvas) -> None:
    c.shadow(24, 76, 86)
    c.arc(INK, 2.4, 42, 8, 58, 24, 180, 360)
    c.box(c.main, 28, 16, 72, 86, 14)
    c.box(c.dark, 26, 22, 74, 42, 9)
    c.box(c.light, 34, 54, 66, 80, 5)
    c.line(c.dark, 1.2, (36, 62), (64, 62))
    for x in (40, 60):
        c.box(WOOD, x - 1.6, 38, x + 1.6, 50, 1)


def satchel(c: Canvas) -> None:
    c.shadow(18, 82, 80)
    c.arc(WOOD, 2.2, 24, 12, 76, 74, 180, 360)
    c.box(c.main, 20, 42, 80, 80, 5)
    c.poly(c.dark, (20, 42), (80, 42), (74, 62), (26, 62))
    c.box(STEEL, 46, 58, 54, 66, 1.5)


def dry_bags(c: Canvas) -> None:
    c.shadow(14, 86, 84)
    for x, top, color in ((16, 36, c.main), (40, 24, c.dark), (64, 44, c.light)):
        c.box(color, x, top, x + 22, 84, 6)
        c.box(INK, x + 1, top - 4, x + 21, top + 2, 2)
        c.box(STEEL, x + 8, top - 6, x + 14, top - 1, 1)


def lantern(c: Canvas) -> None:
    c.glow("#ffd98a", 50, 50, 38)
    c.shadow(30, 70, 86)
    c.arc(STEEL, 1.8, 34, 8, 66, 46, 180, 360)
    c.box(c.main, 38, 20, 62, 28, 3)
    c.box("#fff3cf", 36, 28, 64, 66, 6)
    flame(c, 50, 62, 22)
    c.box(c.main, 32, 66, 68, 86, 5)
    c.box(c.dark, 32, 74, 68, 78)


def headlamp(c: Canvas) -> None:
    c.glow("#ffe9b0", 50, 58, 36)
    c.arc(c.main, 7, 16, 20, 84, 86, 180, 360)
    c.box("#3d4350", 34, 40, 66, 66, 7)
    c.oval("#fff6d8", 40, 43, 60, 63)
    c.oval("#ffd877", 45, 48, 55, 58)


def candle(c: Canvas) -> None:
    c.glow("#ffd98a", 50, 34, 30)
    c.shadow(28, 72, 84)
    c.box(c.main, 32, 52, 68, 84, 4)
    c.oval("#fbf3e2", 32, 46, 68, 58)
    c.line(INK, 0.9, (50, 52), (50, 44))
    flame(c, 50, 46, 20)
    c.box(c.light, 38, 62, 62, 76, 2)


def festoon(c: Canvas) -> None:
    spots = [(12, 34), (27, 46), (42, 52), (58, 52), (73, 46), (88, 34)]
    for x, y in spots:
        c.glow("#ffd98a", x, y + 10, 13)
    c.line(INK, 1, (0, 22), *spots, (100, 22))
    for x, y in spots:
        c.box(INK, x - 2, y, x + 2, y + 5, 1)
        c.oval("#ffe6a3", x - 5, y + 4, x + 5, y + 16)


def shirt(c: Canvas) -> None:
    c.shadow(28, 72, 84)
    c.poly(c.dark, (34, 22), (12, 44), (22, 54), (36, 42))
    c.poly(c.dark, (66, 22), (88, 44), (78, 54), (64, 42))
    c.box(c.main, 30, 22, 70, 84, 4)
    c.pie(GROUNDS["Clothing"][0], 40, 12, 60, 32, 0, 180)
    c.arc(c.dark, 1.6, 39, 11, 61, 33, 0, 180)


def jacket(c: Canvas) -> None:
    shirt(c)
    c.pie(c.dark, 34, 8, 66, 38, 180, 360)
    c.oval(shade(c.main, 0.5), 40, 14, 60, 34)
    c.line(c.light, 1, (50, 34), (50, 84))
    for x in (35, 56):
        c.line(c.dark, 1.4, (x, 64), (x + 9, 64))


def jumper(c: Canvas) -> None:
    shirt(c)
    c.box(c.dark, 30, 78, 70, 84, 2)
    for y in (44, 52, 60):
        for x in range(34, 67, 8):
            c.line(c.light, 1, (x, y), (x + 2, y + 3), (x + 4, y))


def socks(c: Canvas) -> None:
    c.shadow(22, 84, 82)
    for x, color in ((26, c.dark), (46, c.main)):
        c.box(color, x, 18, x + 16, 70, 3)
        c.box(color, x, 58, x + 32, 80, 10)
        c.box("#f5efe6", x, 18, x + 16, 26, 2)
        c.oval("#f5efe6", x + 22, 60, x + 32, 80)


def beanie(c: Canvas) -> None:
    c.shadow(24, 76, 76)
    c.pie(c.main, 22, 22, 78, 96, 180, 360)
    for x in (36, 50, 64):
        c.line(c.dark, 0.9, (50, 26), (x, 58))
    c.box(c.dark, 20, 56, 80, 74, 5)


def hat(c: Canvas) -> None:
    c.shadow(12, 88, 74)
    c.oval(c.dark, 8, 52, 92, 76)
    c.oval(c.main, 8, 50, 92, 72)
    c.pie(c.main, 28, 24, 72, 96, 180, 360)
    c.box(INK, 28, 54, 72, 61)


def gloves(c: Canvas) -> None:
    c.shadow(18, 82, 86)
    for x, color in ((16, c.dark), (52, c.main)):
        for finger in range(4):
            c.box(color, x + 7 * finger, 24 + 3 * abs(finger - 1), x + 6 + 7 * finger, 56, 3)
        c.box(color, x, 44, x + 27, 72, 5)
        c.box(c.light, x + 2, 70, x + 25, 86, 3)


def board(c: Canvas) -> None:
    c.shadow(22, 78, 86)
    c.box(c.main, 44, 10, 56, 30, 5)
    c.box(c.main, 26, 24, 74, 86, 7)
    c.oval(GROUNDS["Kitchen"][0], 48, 13, 52, 17)
    for x in (34, 42, 58, 66):
        c.line(c.dark, 0.6, (x, 28), (x, 82))


def bowl(c: Canvas) -> None:
    c.shadow(28, 72, 80)
    c.pie(c.main, 16, 14, 84, 80, 0, 180)
    c.oval(c.dark, 16, 38, 84, 56)
    c.oval("#f8f3e8", 20, 40, 80, 54)
    c.box(c.dark, 38, 76, 62, 80, 1)


def plate(c: Canvas) -> None:
    c.shadow(16, 84, 84)
    c.oval(c.main, 14, 18, 86, 84)
    c.oval(c.light, 18, 21, 82, 80)
    c.oval(c.dark, 29, 32, 71, 70)
    c.oval("#f8f3e8", 30, 32, 70, 69)


def towel(c: Canvas) -> None:
    c.shadow(22, 78, 86)
    c.line(WOOD, 2.4, (12, 20), (88, 20))
    for x, color in ((22, c.main), (52, "#f8f3e8")):
        c.box(color, x, 18, x + 26, 84, 1.5)
        for y in (66, 71, 76):
            c.line(c.dark, 1, (x + 1, y), (x + 25, y))


def knife(c: Canvas) -> None:
    c.shadow(18, 84, 72)
    c.poly(STEEL, (46, 42), (92, 44), (84, 58), (46, 62))
    c.poly(shade(STEEL, 1.2), (46, 56), (86, 55), (84, 58), (46, 62))
    c.box(c.main, 10, 44, 48, 58, 5)
    for x in (20, 30, 40):
        c.oval(STEEL, x - 1.5, 49.5, x + 1.5, 52.5)


def crock(c: Canvas) -> None:
    c.shadow(24, 76, 84)
    c.box(c.main, 26, 34, 74, 84, 10)
    c.box(c.dark, 26, 48, 74, 54)
    c.oval(WOOD, 24, 26, 76, 42)
    c.oval(shade(WOOD, 1.15), 27, 27, 73, 39)
    c.oval(WOOD, 46, 20, 54, 30)


def spoons(c: Canvas) -> None:
    c.shadow(22, 78, 86)
    for x, top, color in ((30, 18, c.dark), (50, 12, c.main), (70, 20, c.light)):
        c.line(color, 3, (x, top + 18), (x, 84))
        c.oval(color, x - 8, top, x + 8, top + 26)
        c.oval(shade(color, 0.88), x - 5, top + 4, x + 5, top + 21)


def throw(c: Canvas) -> None:
    c.shadow(16, 84, 82)
    for y, color in ((62, c.dark), (48, c.main), (34, c.light)):
        c.box(color, 18, y, 82, y + 18, 6)
    for x in range(22, 82, 5):
        c.line(c.dark, 0.8, (x, 79), (x, 85))
    for x in (34, 50, 66):
        c.line("#f8f3e8", 1.6, (x, 36), (x, 50))


def stool(c: Canvas) -> None:
    c.shadow(24, 76, 86)
    for x, end in ((36, 27), (64, 73), (50, 50)):
        c.line(c.dark, 3, (x, 42), (end, 84))
    c.line(c.dark, 2, (31, 66), (69, 66))
    c.oval(c.dark, 22, 32, 78, 48)
    c.oval(c.main, 22, 28, 78, 44)


def hooks(c: Canvas) -> None:
    c.box(WOOD, 10, 34, 90, 48, 3)
    for x in (20, 40, 60, 80):
        c.line(c.main, 3, (x, 40), (x, 60))
        c.arc(c.main, 3, x - 8, 54, x + 1.5, 68, 0, 180)
        c.oval(c.dark, x - 3, 37, x + 3, 43)


def basket(c: Canvas) -> None:
    c.shadow(18, 82, 84)
    for x, y in ((34, 36), (50, 32), (66, 36)):
        c.oval(WOOD, x - 10, y - 10, x + 10, y + 10)
        c.oval("#e6c79c", x - 7, y - 7, x + 7, y + 7)
    c.poly(c.main, (16, 42), (84, 42), (76, 84), (24, 84))
    for y in (50, 58, 66, 74):
        c.line(c.dark, 1, (18 + (y - 42) / 5, y), (82 - (y - 42) / 5, y))
    c.box(c.dark, 14, 40, 86, 45, 2)


def trowel(c: Canvas) -> None:
    c.shadow(24, 78, 88)
    for x, color in ((36, c.main), (64, c.dark)):
        c.box(WOOD, x - 4, 12, x + 4, 40, 4)
        c.line(STEEL, 2, (x, 38), (x, 52))
        if x < 50:
            c.poly(color, (x - 9, 52), (x + 9, 52), (x + 8, 74), (x, 88), (x - 8, 74))
        else:
            c.line(color, 2.4, (x - 8, 54), (x + 8, 54))
            for tine in (-8, 0, 8):
                c.line(color, 2.4, (x + tine, 54), (x + tine, 84))


def watering_can(c: Canvas) -> None:
    c.shadow(20, 76, 82)
    c.line(c.dark, 4, (64, 70), (86, 38))
    c.poly(c.light, (80, 32), (94, 40), (88, 45), (79, 39))
    c.arc(c.dark, 3, 14, 22, 62, 74, 150, 350)
    c.box(c.main, 26, 44, 68, 82, 4)
    c.oval(c.dark, 26, 39, 68, 49)


def seed_box(c: Canvas) -> None:
    c.shadow(14, 86, 82)
    for x in (26, 42, 58, 74):
        c.line("#5f8f4e", 1.4, (x, 48), (x, 28))
        c.oval("#7fb069", x - 8, 22, x, 32)
        c.oval("#7fb069", x, 18, x + 8, 28)
    c.box(c.main, 14, 46, 86, 82, 3)
    c.box("#5b3a26", 18, 46, 82, 52, 1)
    c.box("#f8f3e8", 38, 60, 62, 72, 1)


def saw(c: Canvas) -> None:
    c.shadow(14, 84, 74)
    c.poly(STEEL, (44, 40), (92, 34), (93, 42), (46, 56))
    for step in range(12):
        x, y = 47 + step * 3.8, 56 - step * 1.15
        c.poly(STEEL, (x, y - 1), (x + 3.8, y - 2), (x + 2, y + 3))
    c.poly(c.main, (46, 40), (46, 56), (22, 70), (10, 64), (14, 56), (30, 52))


def feeder(c: Canvas) -> None:
    c.line(INK, 1, (50, 6), (50, 20))
    c.poly(c.main, (50, 16), (80, 38), (20, 38))
    c.box("#e8f0ee", 32, 38, 68, 66)
    c.box("#c9a15d", 32, 50, 68, 66)
    c.box(c.dark, 24, 66, 76, 72, 1)
    c.oval("#5b7fa6", 68, 54, 84, 66)
    c.oval("#5b7fa6", 78, 48, 88, 58)
    c.poly(FLAME, (88, 52), (92, 54), (88, 55))


def fire_bowl(c: Canvas) -> None:
    c.glow("#ffcf7d", 50, 44, 30)
    c.shadow(26, 74, 84)
    flame(c, 38, 56, 24)
    flame(c, 62, 56, 24)
    flame(c, 50, 58, 38)
    c.pie(c.main, 18, 24, 82, 78, 0, 180)
    for x, end in ((36, 30), (64, 70)):
        c.line(c.main, 2.6, (x, 74), (end, 84))


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
