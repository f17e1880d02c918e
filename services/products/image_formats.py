"""The structure of uploaded pictures, checked without decoding them: JPEG, PNG and WebP, and nothing behind their end.

A file that is also something else (a page, a script, an archive), or one that would take much memory or time to decode,
is refused before a decoder sees it.
"""

import re
from dataclasses import dataclass

from chassis.errors import DomainError, ErrorCategory

MAX_PIXELS = 16_000_000
MAX_UPLOAD_BYTES = 8 * 1024 * 1024
MAX_SCANS = 32
"""Scans of a progressive JPEG: each takes as long as decoding the whole picture; encoders write about ten."""
_MAX_CHUNKS = 10_000

_PNG_START, _JPEG_START, _JPEG_END = b"\x89PNG\r\n\x1a\n", b"\xff\xd8", b"\xff\xd9"
_PNG_KEPT = frozenset({b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND"})
"""Chunks that the decoder gets: no other can be a bomb, or change which picture it is."""
_SIZE_MARKERS = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}  # start of frame
_SCAN, _END = 0xDA, 0xD9
_NEXT_MARKER = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")  # within the data of a scan
_FOREIGN = (b"<script", b"<?php", b"<!doctype", b"<html>", b"<html ", b"<svg ", b"%pdf-1.")
"""How pages, scripts and documents begin, in lower case; too long to occur by chance."""


class PictureRefused(DomainError, category=ErrorCategory.INVALID):
    """The body is no picture that the shop takes."""


@dataclass(frozen=True)
class CheckedImage:
    """An image whose structure is right: the name of its format, the bytes to decode, and its size in pixels."""

    format: str
    data: bytes
    width: int
    height: int


def check(data: bytes) -> CheckedImage:
    """Return the image without its metadata, as far as its format allows. Raises PictureRefused."""
    if len(data) > MAX_UPLOAD_BYTES:
        raise PictureRefused(f"A picture has at most {MAX_UPLOAD_BYTES} bytes.")
    try:
        if data.startswith(_PNG_START):
            image = _check_png(data)
        elif data.startswith(_JPEG_START):
            image = _check_jpeg(data)
        elif data[:4] == b"RIFF" and data[8:12] == b"WEBP":
            image = _check_webp(data)
        else:
            raise PictureRefused("Send a JPEG, PNG or WebP picture.")
    except IndexError:
        raise PictureRefused("The picture is incomplete.") from None
    if not image.width or not image.height or image.width * image.height > MAX_PIXELS:
        raise PictureRefused(f"A picture has at most {MAX_PIXELS // 1_000_000} megapixels.")
    text = data.lower()
    if any(start in text for start in _FOREIGN):
        raise PictureRefused("The file is not only a picture: it contains a page, a script or a document.")
    return image


def _check_png(data: bytes) -> CheckedImage:
    kept, place, kind = [_PNG_START], len(_PNG_START), b""
    for _ in range(_MAX_CHUNKS):
        length, kind = int.from_bytes(data[place : place + 4], "big"), data[place + 4 : place + 8]
        end = place + 12 + length
        if end > len(data):
            raise PictureRefused("The picture is incomplete.")
        if kind in _PNG_KEPT:
            kept.append(data[place:end])
        place = end
        if kind == b"IEND":
            break
    else:
        raise PictureRefused("The picture has too many parts.")
    _check_end(data, place)
    header = kept[1]
    if header[4:8] != b"IHDR":
        raise PictureRefused("The picture does not begin with its size.")
    width, height = int.from_bytes(header[8:12], "big"), int.from_bytes(header[12:16], "big")
    return CheckedImage("PNG", b"".join(kept), width, height)


def _check_jpeg(data: bytes) -> CheckedImage:
    width = height = scans = 0
    place = len(_JPEG_START)
    for _ in range(_MAX_CHUNKS):
        while data[place] == 0xFF and data[place + 1] == 0xFF:  # fill bytes
            place += 1
        if data[place] != 0xFF:
            raise PictureRefused("The picture is damaged.")
        marker = data[place + 1]
        if marker == _END:
            break
        if marker in _SIZE_MARKERS:
            height, width = _number(data, place + 5), _number(data, place + 7)
        place += 2 + _number(data, place + 2)
        if marker == _SCAN:
            scans += 1
            following = _NEXT_MARKER.search(data, place)
            if not following:
                raise PictureRefused("The picture is incomplete.")
            place = following.start()
    else:
        raise PictureRefused("The picture has too many parts.")
    if scans > MAX_SCANS:
        raise PictureRefused(f"A progressive picture has at most {MAX_SCANS} scans.")
    end = place + len(_JPEG_END)
    if data[end : end + 2] != _JPEG_START:  # cameras put a second picture behind the first; it is cut off
        _check_end(data, end)
    return CheckedImage("JPEG", data[:end], width, height)


def _check_webp(data: bytes) -> CheckedImage:
    _check_end(data, 8 + int.from_bytes(data[4:8], "little"))
    kind = data[12:16]
    if kind == b"VP8X":
        if data[20] & 0x02:
            raise PictureRefused("The picture is animated.")
        width, height = (1 + int.from_bytes(data[place : place + 3], "little") for place in (24, 27))
    elif kind == b"VP8L":
        bits = int.from_bytes(data[21:25], "little")
        width, height = 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
    elif kind == b"VP8 ":
        width, height = (int.from_bytes(data[place : place + 2], "little") & 0x3FFF for place in (26, 28))
    else:
        raise PictureRefused("The picture is damaged.")
    return CheckedImage("WEBP", data, width, height)


def _number(data: bytes, place: int) -> int:
    return data[place] << 8 | data[place + 1]


def _check_end(data: bytes, end: int) -> None:
    if end > len(data):
        raise PictureRefused("The picture is incomplete.")
    if end < len(data):
        raise PictureRefused("The file goes on after the end of the picture.")
