"""The few ways in which work can fail.

    ServiceError
    ├── DomainError             the domain rejects the work: a retry does not help
    │   ├── NotFound            the object does not exist, or the caller may not see it
    │   ├── InvalidInput        a field of the input is not valid
    │   ├── VersionConflict     the object changed after the caller read it
    │   └── Forbidden           the caller may not do this
    └── TransientError          the platform could not do the work: a retry may help
        ├── NotAttempted        certainly not done (open circuit, no connection, overload)
        ├── OutcomeUnknown      may or may not be done (timeout, lost response)
        └── DeadlineExceeded    the deadline passed before the work began

A service declares its own domain errors, and each route and command declares which of them it may raise:

    class InsufficientStock(DomainError):
        def __init__(self, product_id: str, available: int) -> None:
            super().__init__(f"Only {available} left.", productId=product_id, available=available)

`chassis.web.problems` alone turns errors into HTTP.
"""

import re
from collections.abc import Iterable, Mapping
from enum import Enum, auto
from typing import Any, Self


class ServiceError(Exception):
    """Work that did not succeed."""


class ErrorCategory(Enum):
    """What a domain error means to a client; each category has one HTTP status."""

    CONFLICT = auto()
    NOT_FOUND = auto()
    INVALID = auto()
    VERSION_CONFLICT = auto()
    FORBIDDEN = auto()
    UNAUTHENTICATED = auto()
    PAYMENT_REQUIRED = auto()
    RATE_LIMITED = auto()
    GONE = auto()


class DomainError(ServiceError):
    """The domain rejects the work.

    `kind` identifies the error for programs and `title` for people: by default the name of the class in snake case and
    in words. `detail` says what to do; `extra` are further members of the problem document.
    """

    kind: str = "domain_error"
    title: str = "Domain error"
    category: ErrorCategory = ErrorCategory.CONFLICT

    def __init_subclass__(cls, *, kind: str = "", title: str = "", category: ErrorCategory | None = None) -> None:
        words = re.sub(r"(?<!^)(?=[A-Z])", " ", cls.__name__).capitalize()
        cls.kind, cls.title = kind or words.lower().replace(" ", "_"), title or words
        cls.category = category or cls.category

    def __init__(self, detail: str = "", **extra: Any) -> None:
        super().__init__(detail or self.title)
        self.detail, self.extra = detail, extra

    @classmethod
    def rebuild(cls, detail: str, extra: Mapping[str, Any], *, kind: str = "", title: str = "") -> Self:
        """Make the error from its stored or received parts, without the constructor of the class."""
        error = cls.__new__(cls)
        error.kind, error.title = kind or cls.kind, title or cls.title
        DomainError.__init__(error, detail, **extra)
        return error


class NotFound(DomainError, category=ErrorCategory.NOT_FOUND):
    """The object does not exist, or the caller may not see it."""

    def __init__(self, noun: str) -> None:
        super().__init__(f"There is no such {noun}.")


class InvalidInput(DomainError, kind="invalid", category=ErrorCategory.INVALID):
    """The input is not valid: `errors` are (field, reason)."""

    def __init__(self, *errors: tuple[str, str]) -> None:
        listed = [{"field": field, "reason": reason} for field, reason in errors]
        super().__init__("See errors for the fields to correct.", errors=listed)


class VersionConflict(DomainError, kind="stale", title="Changed meanwhile", category=ErrorCategory.VERSION_CONFLICT):
    """The object has another version than the caller's `If-Match`."""

    def __init__(self) -> None:
        super().__init__("Read it again, and send If-Match with its present ETag.")


class Forbidden(DomainError, category=ErrorCategory.FORBIDDEN):
    """The caller may not do this."""


class TransientError(ServiceError):
    """The platform could not do the work now. `retry_after` in seconds; 0 if unknown."""

    def __init__(self, what: str, retry_after: float = 0.0) -> None:
        super().__init__(what)
        self.retry_after = retry_after


class NotAttempted(TransientError):
    """Certainly not done: there is nothing to undo."""


class OutcomeUnknown(TransientError):
    """May or may not be done: repeat it under the same key."""


class DeadlineExceeded(TransientError):
    """The deadline passed before the work began."""


def rebuild(
    errors: Iterable[type[DomainError]], kind: str, title: str, detail: str, extra: Mapping[str, Any]
) -> DomainError:
    """Return the error of this kind as its class among `errors`, or as a plain DomainError."""
    found: type[DomainError] = next((error for error in errors if error.kind == kind), DomainError)
    return found.rebuild(detail, extra, kind=kind, title=title)


IfMatch = frozenset[int] | None
"""The versions that a request with `If-Match` accepts; None: any."""


def require_version(if_match: IfMatch, version: int) -> None:
    """Check the version of an object against the caller's `If-Match`, if there is one. Raises VersionConflict."""
    if if_match is not None and version not in if_match:
        raise VersionConflict()
