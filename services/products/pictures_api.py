"""Upload of pictures to a product, and `/media`."""

from chassis.errors import NotFound
from chassis.schema import QueryParams
from chassis.web.api import ADMIN, ANYONE, Api, Content, Response
from services.products import domain, imaging, pictures, repository
from services.products.image_formats import PictureRefused
from services.products.pictures import TooManyPictures
from services.products.views import Product, view

pictures_api = Api()

UPLOADED = ("image/jpeg", "image/png", "image/webp")
_IMMUTABLE = {
    "Cache-Control": "public, max-age=31536000, immutable",
    "Content-Security-Policy": "default-src 'none'; sandbox",
}


class NewPicture(QueryParams):
    """`alt` describes the picture to those who do not see it."""

    alt: domain.Alt = ""


@pictures_api.post(
    "/api/products/{id}/pictures",
    auth=ADMIN,
    responses={201: Product},
    errors=(PictureRefused, TooManyPictures),
    media_types=UPLOADED,
)
def add_picture(id: str, query: NewPicture, content: bytes) -> Response:
    """Add a picture to a product: a JPEG, PNG or WebP of at most 8 MiB and 16 megapixels.

    The shop stores it without its metadata. The same picture again changes its text only.
    """
    product = pictures.add(id, content, query.alt)
    body = view(product, repository.parent_of(product))
    return Response(body, 201, version=product["version"], headers={"Location": f"/api/products/{id}"})


@pictures_api.delete("/api/products/{id}/pictures/{picture_id}", auth=ADMIN, responses={204: None}, errors=(NotFound,))
def remove_picture(id: str, picture_id: str) -> Response:
    """Remove a picture from a product. Its id is the part of its URL before the size."""
    pictures.remove(id, picture_id)
    return Response(status=204)


@pictures_api.get("/media/{name}.webp", auth=ANYONE, responses={200: Content}, media_types=(imaging.MEDIA_TYPE,))
def get_picture(name: str) -> Response:
    """Get a picture of 320, 640 or 1280 px at its longer side: `<id>-<size>`. It never changes."""
    return Response(Content(pictures.rendition(name), imaging.MEDIA_TYPE), headers=_IMMUTABLE)
