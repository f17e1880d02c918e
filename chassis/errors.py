"""The few ways in which work can fail, as the domain and the chassis name them.

    ServiceError
    ├── DomainError        the domain says no: asking again will not help
    │   ├── NotFound   there is no such thing, or not for this caller
    │   ├── InvalidInput    the input cannot be taken as it is
    │   └── VersionConflict      it has changed since the caller read it
    └── TransientError        the platform could not: asking again may help
        ├── NotAttempted    certainly not done (breaker, no connection, overload)
        ├── OutcomeUnknown    may or may not have been done (timeout, lost answer)
        └── DeadlineExceeded    the deadline passed before the work began

`chassis.web.problems` alone turns them into HTTP.
"""

from typing import Any


class ServiceError(Exception):
    """Work that did not succeed."""


class DomainError(ServiceError):
    """The domain refuses: `kind` for programs, `title` for people, `detail` to act on; `extra` joins the problem."""

    def __init__(self, kind: str, title: str, detail: str = "", **extra: Any) -> None:
        super().__init__(detail or title)
        self.kind, self.title, self.detail, self.extra = kind, title, detail, extra


class NotFound(DomainError):
    """There is no such thing, or none that the caller may see."""

    def __init__(self, what: str) -> None:
        super().__init__("not_found", "Not found", f"There is no such {what}.")


class InvalidInput(DomainError):
    """The input cannot be taken: `errors` are (field, reason)."""

    def __init__(self, *errors: tuple[str, str]) -> None:
        listed = [{"field": field, "reason": reason} for field, reason in errors]
        super().__init__("invalid", "Invalid input", "See errors for the fields to correct.", errors=listed)


class VersionConflict(DomainError):
    """The object has another version than the caller's `If-Match`."""

    def __init__(self) -> None:
        super().__init__("stale", "Changed meanwhile", "Read it again, and send If-Match with its present ETag.")


class TransientError(ServiceError):
    """The platform could not do it now. `retry_after` in seconds; 0 where nothing is known of it."""

    def __init__(self, what: str, retry_after: float = 0.0) -> None:
        super().__init__(what)
        self.retry_after = retry_after


class NotAttempted(TransientError):
    """Certainly not done: nothing to undo."""


class OutcomeUnknown(TransientError):
    """May or may not have been done: ask again with the same key."""


class DeadlineExceeded(TransientError):
    """The deadline passed before the work began."""
