"""`GET /api/users/me/export`."""

from typing import Any

from chassis import clock
from chassis.errors import NotFound
from chassis.schema import Id, Schema, Timestamp
from chassis.web import limits
from chassis.web.api import SIGNED_IN, Api
from chassis.web.auth import Caller
from services.users import export

api = Api()


class Export(Schema):
    """What the platform keeps about a user; amounts of payments are minor units."""

    user_id: Id
    exported_at: Timestamp
    services: dict[str, dict[str, list[dict[str, Any]]]]
    """Service -> collection -> documents."""


@api.get("/api/users/me/export", auth=SIGNED_IN, responses={200: Export}, errors=(NotFound,))
def export_me(caller: Caller) -> Export:
    """Get what every service keeps about you. If one of them is away: 503, and no part of it."""
    limits.hit("export", "20/hour", caller.id, limits.count_in_store)
    return Export(user_id=caller.id, exported_at=clock.timestamp(), services=export.export(caller.id))
