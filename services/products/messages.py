"""The events and the command of `products`.

Events are about what can be ordered. `parent_id` is the product that a variant belongs to; that has no events itself.
"""

from typing import Annotated

from pydantic import Field

from chassis.messages import Command, Event
from chassis.schema import Id, Schema


class ProductCreated(Event, type="product.created", key="product_id"):
    product_id: Id
    name: str
    price: str
    currency: str
    category: str
    initial_stock: int
    published: bool = True
    parent_id: Id | None = None


class ProductUpdated(Event, type="product.updated", key="product_id"):
    product_id: Id
    name: str
    price: str
    currency: str
    category: str
    published: bool = True
    parent_id: Id | None = None


class ProductDeleted(Event, type="product.deleted", key="product_id"):
    product_id: Id
    parent_id: Id | None = None


class PricedItem(Schema):
    """The name and price of a product; `price` is in minor units of `currency`, `picture` is a URL."""

    product_id: Id
    name: str
    price: int
    currency: str
    stock: int | None = None
    """The units that the catalog shows."""
    picture: str | None = None


class PriceItems(Command, callers=("orders", "carts"), read_only=True):
    """Get the names and prices of products; the reply leaves out those that do not exist or are not published."""

    product_ids: Annotated[list[Id], Field(min_length=1, max_length=100)]

    class Reply(Schema):
        """`with_variants` are ids of products that cannot be ordered themselves: only their variants can."""

        items: list[PricedItem]
        with_variants: list[Id] = []
