"""Rate limits by caller: anonymous writes, signed-in users and reads each have their own, as settings."""

import time
from functools import cache

from limits import RateLimitItem, parse
from limits.storage import MemoryStorage
from limits.strategies import FixedWindowRateLimiter

from chassis.settings import settings
from chassis.web.auth import Caller
from chassis.web.problems import Problem


@cache
def _limiter() -> FixedWindowRateLimiter:
    return FixedWindowRateLimiter(MemoryStorage())


@cache
def _item(rule: str) -> RateLimitItem:
    return parse(rule)


def hit(name: str, rule: str, caller: str) -> dict[str, str]:
    """Count a request under a limit such as "100/15minutes"; the RateLimit headers. Raises a 429 Problem beyond it."""
    if settings().rate_limits == "off":
        return {}
    item = _item(rule)
    allowed = _limiter().hit(item, name, caller)
    window = _limiter().get_window_stats(item, name, caller)
    wait = max(1, round(window.reset_time - time.time()))
    headers = {
        "RateLimit": f'"{name}";r={window.remaining};t={wait}',
        "RateLimit-Policy": f'"{name}";q={item.amount};w={item.get_expiry()}',
    }
    if not allowed:
        raise Problem(
            429, f"More than {item} of these requests; wait {wait} s.", headers={**headers, "Retry-After": str(wait)}
        )
    return headers


def of_request(method: str, caller: Caller) -> dict[str, str]:
    """Count a request under the limit of its kind."""
    if method in ("GET", "HEAD"):
        return hit("read", settings().rate_read, caller.name)
    if caller.id:
        return hit("user", settings().rate_user, caller.id)
    return hit("anonymous", settings().rate_anonymous, caller.address)
