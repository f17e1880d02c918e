"""Use cases of pictures: an administrator uploads one, and everybody sees its renditions.

The renditions are stored before the product names them. A crash in between leaves renditions that no product names; the
same upload stores nothing twice.
"""

from chassis import clock
from chassis.blobs import Blobs
from chassis.errors import DomainError, NotFound
from chassis.store import Doc, Update
from services.products import imaging, repository, variants
from services.products.domain import MAX_PICTURES
from services.products.imaging import SIZES_PX, Renditions

_FIRST_RETRY_S = 60.0

blobs = Blobs()


class TooManyPictures(DomainError):
    """The product has as many pictures as it may have."""

    def __init__(self) -> None:
        super().__init__(f"A product has at most {MAX_PICTURES} pictures. Remove one first.")


def add(id: str, data: bytes, alt: str) -> Doc:
    """Add an uploaded picture to a product, or change the text of the same picture; return the product.

    Raises NotFound, PictureRefused, TooManyPictures.
    """
    repository.get(id)
    made = imaging.render(data)
    store(made)
    picture = described(made, alt)
    while True:
        product = repository.get(id)
        pictures = [picture if each["id"] == made.id else each for each in product["pictures"]]
        if picture not in pictures:
            pictures.append(picture)
        if len(pictures) > MAX_PICTURES:
            raise TooManyPictures
        if changed := replace(product, pictures, product["pictureSources"]):
            return changed


def remove(id: str, picture_id: str) -> None:
    """Remove a picture from a product. Its renditions stay: another product may have it, too. Raises NotFound."""
    while True:
        product = repository.get(id)
        pictures = [each for each in product["pictures"] if each["id"] != picture_id]
        if len(pictures) == len(product["pictures"]):
            raise NotFound("picture")
        if replace(product, pictures, product["pictureSources"]):
            return


def described(made: Renditions, alt: str) -> Doc:
    """Return the entry of a picture in its product."""
    return {"id": made.id, "alt": alt, "width": made.width, "height": made.height}


def store(made: Renditions) -> None:
    """Store the renditions of a picture."""
    for size_px, data in made.data.items():
        blobs.put(blob_name(made.id, size_px), data)


def blob_name(id: str, size_px: int) -> str:
    """Return the name of a rendition."""
    return f"{id}-{size_px}.webp"


def url(picture: Doc, size_px: int = SIZES_PX[0]) -> str:
    """Return the path of a rendition of a stored picture."""
    return f"/media/{blob_name(picture['id'], size_px)}"


def rendition(name: str) -> bytes:
    """Return a rendition by the part of its path before `.webp`. Raises NotFound."""
    data = blobs.get(f"{name.lower()}.webp") if _is_name(name) else None
    if data is None:
        raise NotFound("picture")
    return data


def _is_name(name: str) -> bool:
    id, _, size_px = name.partition("-")
    return id.isalnum() and id.islower() and size_px in map(str, SIZES_PX)


def replace(product: Doc, pictures: list[Doc], sources: list[Doc]) -> Doc | None:
    """Store the pictures of a product, and those that are still to be downloaded; None if another write came first."""
    fields = {"pictures": pictures, "pictureSources": sources, "picturesDue": _due(sources)}
    update: Update = {"$set": fields}
    if pictures != product["pictures"]:
        update = {"$set": {**fields, "updatedAt": clock.timestamp()}, "$inc": {"version": 1}}
    guard = {"version": product["version"], "picturesDue": product["picturesDue"]}
    changed = repository.products.update(product["_id"], update, when=guard)
    if changed and changed["parentId"]:
        variants.refresh(product["_id"])
    return changed


def next_source(sources: list[Doc]) -> Doc | None:
    """Return the picture to download next, that with the fewest attempts; None if none is left to try."""
    return min((each for each in sources if not each["problem"]), key=lambda each: each["attempts"], default=None)


def _due(sources: list[Doc]) -> str:
    """Return when the next picture is downloaded, "" for never."""
    source = next_source(sources)
    if source is None:
        return ""
    attempts: int = source["attempts"]
    return clock.timestamp_in(_FIRST_RETRY_S * 2 ** (attempts - 1) if attempts else 0.0)
