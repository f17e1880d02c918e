"""Motifs of what people wear, and of what they use at home and in the garden."""

from tools.drawing.camp import flame
from tools.drawing.canvas import FLAME, GROUNDS, INK, STEEL, WOOD, Canvas, shade


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
