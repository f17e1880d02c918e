"""Background job: finish erasures."""

from collections.abc import Callable

from services.users import application, repository
from services.users.application import ForgetRequests


def erasure_job(forget_requests: ForgetRequests) -> Callable[[], None]:
    """Return the job that finishes the erasures which a crash interrupted."""

    def finish_erasures() -> None:
        for account in repository.accounts.find({"erasurePending": True}):
            application.finish_erasure(account["_id"], forget_requests)

    return finish_erasures
