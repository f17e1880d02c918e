"""Downloads the pictures that an import named.

    {..., pictureSources: [{url, alt, attempts, problem}], picturesDue: "2026-…"}

A picture stays among the sources until it is stored. `picturesDue` is when the next one is tried, "" for never: with a
`problem`, a source is not tried again before it is imported again.
"""

from collections.abc import Sequence

from chassis import clock
from chassis.observe.log import log
from chassis.store import Doc, Update
from services.products import imaging, pictures, public_fetch, repository
from services.products.domain import MAX_PICTURES
from services.products.image_formats import MAX_UPLOAD_BYTES, PictureRefused
from services.products.public_fetch import FetchFailed, FetchRefused
from services.products.settings import settings

MAX_ATTEMPTS = 5
_LEASE_S = 60.0
"""Time after which another worker tries a picture again: longer than a download and its rendering."""
_BATCH = 20

Source = tuple[str, str]
"""URL and description of a picture."""


def add_sources(id: str, wanted: Sequence[Source]) -> bool:
    """Store the pictures that the product does not have yet; return whether there are any.

    Raises NotFound, TooManyPictures.
    """
    while True:
        product = repository.get(id)
        known = {each.get("source", "") for each in product["pictures"]}
        known |= {each["url"] for each in product["pictureSources"] if not each["problem"]}
        new = {url: {"url": url, "alt": alt, "attempts": 0, "problem": ""} for url, alt in wanted if url not in known}
        if not new:
            return False
        sources = [each for each in product["pictureSources"] if each["url"] not in new] + [*new.values()]
        if len(sources) + len(product["pictures"]) > MAX_PICTURES:
            raise pictures.TooManyPictures
        if pictures.replace(product, product["pictures"], sources):
            return True


def download_pictures() -> None:
    """Download the pictures that are due, one of each product."""
    if not settings().picture_hosts:
        return
    due = {"deleted": False, "picturesDue": {"$gt": "", "$lte": clock.timestamp()}}
    for product in repository.products.find(due, limit=_BATCH):
        source = pictures.next_source(product["pictureSources"])
        if source and (source := _claim(product, source)):
            _download(product["_id"], source)


def _claim(product: Doc, source: Doc) -> Doc | None:
    """Count an attempt before it begins, so that a picture that ends its process is not tried forever."""
    counted = {**source, "attempts": source["attempts"] + 1}
    sources = [counted if each is source else each for each in product["pictureSources"]]
    lease: Update = {"$set": {"pictureSources": sources, "picturesDue": clock.timestamp_in(_LEASE_S)}}
    if repository.products.update(product["_id"], lease, when={"picturesDue": product["picturesDue"]}):
        return counted
    return None


def _download(id: str, source: Doc) -> None:
    try:
        if source["attempts"] > MAX_ATTEMPTS:
            raise FetchRefused("its processing never ended")
        made = imaging.render(public_fetch.fetch(source["url"], settings().picture_hosts, MAX_UPLOAD_BYTES))
    except FetchFailed as error:
        _note(id, source, str(error), is_final=source["attempts"] >= MAX_ATTEMPTS)
    except (FetchRefused, PictureRefused) as error:
        _note(id, source, str(error), is_final=True)
    else:
        pictures.store(made)
        _attach(id, source, made)


def _attach(id: str, source: Doc, made: imaging.Renditions) -> None:
    """Move a picture from the sources of its product to its pictures."""
    picture = pictures.described(made, source["alt"]) | {"source": source["url"]}
    while product := repository.products.get(id):
        shown = [each for each in product["pictures"] if each["id"] != made.id] + [picture]
        sources = [each for each in product["pictureSources"] if each["url"] != source["url"]]
        if pictures.replace(product, shown, sources):
            return


def _note(id: str, source: Doc, reason: str, is_final: bool) -> None:
    log.warning("picture not downloaded", productId=id, attempt=source["attempts"], reason=reason)
    noted = {**source, "problem": reason if is_final else ""}
    while product := repository.products.get(id):
        sources = [noted if each["url"] == source["url"] else each for each in product["pictureSources"]]
        if pictures.replace(product, product["pictures"], sources):
            return
