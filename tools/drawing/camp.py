"""Motifs of what people take along: tents, beds, stoves, packs, lights."""

from tools.drawing.canvas import FLAME, GROUNDS, INK, STEEL, WOOD, Canvas, shade


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
