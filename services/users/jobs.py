"""Background job: finish erasures."""

from collections.abc import Callable

from chassis.events.set_aside import SetAside
from services.users import application, repository
from services.users.application import ForgetRequests


def erasure_job(forget_requests: ForgetRequests) -> Callable[[], None]:
    """Return the job that finishes the erasures which a crash interrupted."""

    erasures = SetAside("finish_erasures")

    def finish_erasures() -> None:
        erasures.work_through(
            repository.accounts,
            {"erasurePending": True},
            lambda account: application.finish_erasure(account["_id"], forget_requests),
        )

    return finish_erasures
