"""Uploaded pictures: what is refused before it is decoded, and what the shop makes of the others."""

import io
import struct
import time
import zipfile
import zlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from services.products import image_formats, imaging
from services.products.image_formats import PictureRefused

MAX_REFUSAL_CPU_S = 0.05


def picture(format="JPEG", size=(60, 40), mode="RGB", color=(200, 30, 30), **options):
    out = io.BytesIO()
    Image.new(mode, size, color).save(out, format, **options)
    return out.getvalue()


def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(width, height, *more, kind=b"\x08\x02\x00\x00\x00"):
    header = struct.pack(">II", width, height) + kind
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + b"".join(more) + chunk(b"IEND", b"")


def zipped():
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("index.html", "hello")
    return out.getvalue()


def many_scans():
    """A progressive JPEG of 16 megapixels whose last scan comes 2,000 times: minutes of decoding in 100 KB."""
    base = picture(size=(4000, 4000), progressive=True)
    start = base.rindex(b"\xff\xda")
    return base[:start] + base[start:-2] * 2000 + base[-2:]


WEBP, JPEG, PNG = picture("WEBP"), picture(), picture("PNG")
HUGE_WEBP = bytearray(picture("WEBP", mode="RGBA", color=(1, 2, 3, 4)))
HUGE_WEBP[24:30] = b"\xfe\x3f\x00\xfe\x3f\x00"
SVG = b'<?xml version="1.0"?><svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>'
REFUSED = {
    "svg": SVG,
    "html": b"<!doctype html><script>alert(1)</script>",
    "gif": picture("GIF"),
    "bmp": picture("BMP"),
    "tiff": picture("TIFF"),
    "empty": b"",
    "only a start": b"\x89PNG\r\n\x1a\n",
    "png bomb": png(50_000, 50_000, chunk(b"IDAT", zlib.compress(b"\0" * 1_000_000))),
    "png of no size": png(0, 10, chunk(b"IDAT", b"")),
    "png of one row": png(2**31 - 1, 1, chunk(b"IDAT", b"")),
    "png with many parts": png(10, 10, *[chunk(b"tEXt", b"")] * 600_000),
    "jpeg bomb": JPEG.replace(struct.pack(">HH", 40, 60), struct.pack(">HH", 65_500, 65_500)),
    "jpeg of many scans": many_scans(),
    "webp bomb": bytes(HUGE_WEBP),
    "animated webp": picture("WEBP", save_all=True, append_images=[Image.new("RGB", (60, 40))]),
    "archive behind a jpeg": JPEG + zipped(),
    "archive behind a png": PNG + zipped(),
    "archive behind a webp": WEBP + zipped(),
    "end of a jpeg behind an archive": JPEG + zipped() + b"\xff\xd9",
    "script in a comment": picture(comment=b"<?php system($_GET['c']); ?>"),
    "page in a text": png(1, 1, chunk(b"tEXt", b"Comment\0<HTML><body>hello"), chunk(b"IDAT", b"")),
    "pdf in a comment": picture(comment=b"%PDF-1.7"),
    "cut jpeg": JPEG[:-30],
    "cut png": PNG[:-20],
    "cut webp": WEBP[:-5],
    "9 MiB": JPEG + b"\0" * 9 * 2**20,
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_no_picture_is_refused_before_it_is_decoded(name, monkeypatch):
    monkeypatch.setattr(imaging, "_decode", lambda _: pytest.fail("was decoded"))
    data, started = REFUSED[name], time.thread_time()
    with pytest.raises(PictureRefused):
        imaging.render(data)
    assert time.thread_time() - started < MAX_REFUSAL_CPU_S


@pytest.mark.parametrize("data", [PNG.replace(b"IDAT", b"IDAX"), WEBP[:30] + b"\xff" * (len(WEBP) - 30)])
def test_damaged_picture_is_refused(data):
    with pytest.raises(PictureRefused):
        imaging.render(data)


@settings(max_examples=150, deadline=None)
@given(st.sampled_from([JPEG, PNG, WEBP]), st.data())
def test_any_damage_is_refused_or_survived(data, draw):
    damaged = bytearray(data)
    for _ in range(draw.draw(st.integers(1, 4))):
        damaged[draw.draw(st.integers(0, len(data) - 1))] = draw.draw(st.integers(0, 255))
    damaged = damaged[: draw.draw(st.integers(1, len(damaged)))]
    try:
        imaging.render(bytes(damaged))
    except PictureRefused:
        pass


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP"])
def test_picture_is_served_as_webp_in_three_sizes(format):
    made = imaging.render(picture(format, (3000, 1500)))
    found = {size: Image.open(io.BytesIO(data)) for size, data in made.data.items()}
    assert {size: (image.format, image.size) for size, image in found.items()} == {
        1280: ("WEBP", (1280, 640)),
        640: ("WEBP", (640, 320)),
        320: ("WEBP", (320, 160)),
    }
    assert (made.width, made.height) == (1280, 640)
    red, green, _ = found[640].convert("RGB").getpixel((320, 160))
    assert red > 190 and green < 45


def test_small_picture_is_not_enlarged():
    made = imaging.render(picture(size=(60, 40)))
    assert (made.width, made.height) == (60, 40)


def test_metadata_is_stripped_and_its_orientation_applied():
    exif = Image.Exif()
    exif[0x0112], exif[0x010E] = 6, "home of Ada, 52.5 N"  # turned by 90 degrees
    made = imaging.render(picture(size=(60, 40), exif=exif, comment=b"secret note", icc_profile=b"secret profile"))
    assert (made.width, made.height) == (40, 60)
    for data in made.data.values():
        assert b"Ada" not in data and b"secret" not in data and b"EXIF" not in data and b"ICCP" not in data


def test_transparency_is_kept():
    made = imaging.render(picture("PNG", mode="RGBA", color=(0, 0, 0, 0)))
    assert Image.open(io.BytesIO(made.data[320])).convert("RGBA").getpixel((5, 5))[3] == 0


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "I;16"])
def test_every_mode_of_png_is_taken(mode):
    image, out = Image.new("RGBA" if mode == "P" else mode, (30, 20)), io.BytesIO()
    (image.quantize() if mode == "P" else image).save(out, "PNG")
    assert imaging.render(out.getvalue()).width == 30


def test_second_picture_of_a_camera_is_cut_off():
    both = JPEG + picture(size=(20, 20))
    assert imaging.render(both).id == imaging.render(JPEG).id


def test_same_content_has_the_same_id_whatever_its_metadata():
    assert imaging.render(picture(comment=b"one")).id == imaging.render(picture(comment=b"two")).id
    assert imaging.render(picture(color=(1, 2, 3))).id != imaging.render(JPEG).id


def test_sixteen_megapixels_are_taken_and_more_are_not():
    assert image_formats.check(png(4000, 4000, chunk(b"IDAT", b""))).width == 4000
    with pytest.raises(PictureRefused):
        image_formats.check(png(4000, 4001, chunk(b"IDAT", b"")))
