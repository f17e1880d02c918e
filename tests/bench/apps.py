"""Apps that serve `GET /api/products/{id}`: the whole chassis, the chassis without telemetry, a bare Flask route."""

from typing import Any

from flask import Flask
from prometheus_client import Counter, Gauge, Histogram

import chassis.service
from chassis.money import Money
from chassis.settings import settings
from chassis.store.engines import open_store
from services.products.repository import products
from services.products.service import service


def full() -> Any:
    """Return the service as it is."""
    return service.application()


def without_telemetry() -> Any:
    """Return the service without metrics. LOG_LEVEL and the sampler turn logs and traces off."""
    for kind in (Counter, Gauge, Histogram):
        for name in ("inc", "dec", "set", "observe"):
            if hasattr(kind, name):
                setattr(kind, name, lambda *_: None)
    chassis.service.TimedStore = lambda store: store  # type: ignore[assignment,misc]
    return service.application()


def bare() -> Any:
    """Return a plain Flask app: no validation, rate limits, log, metrics or traces."""
    products.attach(open_store(settings(), "products")).ensure_indexes()
    app = Flask("bare")

    @app.get("/api/products/<id>")
    def get_product(id: str) -> dict[str, Any]:
        doc = products.get(id)
        assert doc is not None
        return {
            "id": doc["_id"],
            "name": doc["name"],
            "description": doc["description"],
            "price": str(Money(doc["price"], doc["currency"])),
            "currency": doc["currency"],
            "category": doc["category"],
            "vendor": doc["vendor"],
            "tags": doc["tags"],
            "stock": doc["stock"],
            "published": doc["isPublished"],
            "pictures": [dict(picture) for picture in doc["pictures"]],
            "createdAt": doc["createdAt"],
            "updatedAt": doc["updatedAt"],
        }

    return app
