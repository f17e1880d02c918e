"""Pictures as the shop serves them: decoded and encoded again as WebP in three sizes, without any metadata."""

import hashlib
import threading
from dataclasses import dataclass
from io import BytesIO

from PIL import Image, ImageOps

from chassis import deadline
from chassis.errors import TransientError
from services.products import image_formats
from services.products.image_formats import CheckedImage, PictureRefused

SIZES_PX = (1280, 640, 320)
"""The longer side of each rendition; a smaller picture keeps its size."""
MEDIA_TYPE = "image/webp"
_QUALITY = 80
_MAX_WAIT_S = 2.0
_ID_DIGITS = 32

_turn = threading.Lock()
"""One picture at a time: a decoded one takes up to 64 MB."""


@dataclass(frozen=True)
class Renditions:
    """A picture in all sizes, by the longer side in px; `width` and `height` are those of the largest."""

    id: str
    width: int
    height: int
    data: dict[int, bytes]


def render(data: bytes) -> Renditions:
    """Return the renditions of an uploaded picture; the id is made from the content of the largest.

    Raises PictureRefused; TransientError if others take too long.
    """
    checked = image_formats.check(data)
    if not _turn.acquire(timeout=deadline.remaining(_MAX_WAIT_S)):
        raise TransientError("other pictures are being processed", retry_after=1.0)
    try:
        image = _decode(checked)
        sizes, encoded = [], {}
        for size_px in SIZES_PX:
            image.thumbnail((size_px, size_px), Image.Resampling.LANCZOS, reducing_gap=3.0)
            sizes.append(image.size)
            encoded[size_px] = _encode(image)
    finally:
        _turn.release()
    id = hashlib.sha256(encoded[SIZES_PX[0]]).hexdigest()[:_ID_DIGITS]
    return Renditions(id, *sizes[0], encoded)


def _decode(checked: CheckedImage) -> Image.Image:
    try:
        with Image.open(BytesIO(checked.data), formats=[checked.format]) as image:
            if image.size != (checked.width, checked.height):
                raise PictureRefused("The picture is damaged.")
            image.draft("RGB", (SIZES_PX[0], SIZES_PX[0]))  # a JPEG is decoded at a fraction of its size
            image.load()
            ImageOps.exif_transpose(image, in_place=True)
            mode = "RGBA" if image.has_transparency_data else "RGB"
            return image if image.mode == mode else image.convert(mode)
    except PictureRefused:
        raise
    except Exception as error:  # a decoder raises errors of many kinds about damaged data
        raise PictureRefused("The picture cannot be decoded.") from error


def _encode(image: Image.Image) -> bytes:
    out = BytesIO()
    image.save(out, "WEBP", quality=_QUALITY, method=4)
    return out.getvalue()
