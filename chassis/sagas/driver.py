"""The saga orchestrator (driver): runs sagas, with one write for each step, so that another can continue after a crash.

    {_id, saga, ...State, open, concurrencySlot, fence: 3, due: "end of the lease, or time of the next attempt", hints}

A driver claims a saga that is due by incrementing its fencing token (`fence`). Each of its writes is a conditional
write (`when=`) that requires this token, so a driver that resumes after its lease expired writes nothing. A call that
it still sends is harmless: it carries the step's idempotency key, or a tombstone rejects it. One write stores the
outcome of a step and the beginning of the next.

A saga that waits for a person is due when the time for that is over, and at once after a `hint`. Hints are counted, so
that one which comes while a driver looks is not lost.
"""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from typing import Any

from chassis import calls, clock, deadline
from chassis.background import run_until
from chassis.calls.outcomes import RequestRejected, UpstreamDefect
from chassis.errors import DeadlineExceeded, DomainError, NotAttempted, OutcomeUnknown, TransientError
from chassis.messages import Command
from chassis.observe import metrics, trace
from chassis.observe.log import log
from chassis.observe.throttled import Throttled
from chassis.sagas import (
    STUCK_ATTEMPTS,
    Abandoned,
    Action,
    Defect,
    Done,
    LaterVersion,
    Outcome,
    Payload,
    Saga,
    State,
    Step,
    Waiting,
)
from chassis.sagas.gauges import Gauges
from chassis.sagas.waiting import UserAction, age_s
from chassis.store import Collection, Doc, Filter, Index, Update, cursor_after

DUE_INDEX = Index("open", "due", partial={"open": True})
"""The index that a collection of sagas needs."""
CONCURRENCY_SLOT_INDEX = Index("concurrencySlot", unique=True, partial={"open": True})
"""The index that limits how many sagas are open: no two open sagas have the same concurrency slot."""
MAX_CONCURRENT = 8
"""Maximum number of sagas that a driver resumes at once."""
POLL_S = 0.25
MAX_BACKOFF_S = 1.0
MAX_DUE = 100
NEVER_DUE = "9999-12-31T23:59:59.999Z"
"""`due` of a blocked saga, so that no driver claims it, not even one of 0.2.0, which has no blocked sagas."""

Send = Callable[[Command, str], object]


def _send(command: Command, key: str) -> object:
    return calls.send(command, key=key, attempts=1)


class Driver:
    """The driver of the sagas in one collection. `lease_s` must be longer than any call takes."""

    def __init__(self, saga: Saga, collection: Collection, lease_s: Callable[[], float], send: Send = _send) -> None:
        self.saga, self.collection, self._lease_s, self._send = saga, collection, lease_s, send
        self.gauges = Gauges(saga)

    def open(self, id: str, data: Payload, concurrency_slot: str = "") -> Doc:
        """Open a saga and claim it, with one insert; return its document.

        Raises:
            Duplicate: a saga with this id exists, or an open saga has this concurrency slot.
        """
        doc = {
            "_id": id,
            "saga": self.saga.name,
            "sagaVersion": self.saga.version,
            **self.saga.begin(data).to_doc(),
            "open": True,
            "concurrencySlot": concurrency_slot or id,
            "fence": 1,
            "due": clock.timestamp_in(self._lease_s()),
            "openedAt": clock.timestamp(),
            "traceparent": trace.traceparent(),
        }
        self.collection.insert(doc)
        metrics.sagas_started[self.saga.name].inc()
        return doc

    def drive(self, doc: Doc, max_s: float | None = None) -> Doc:
        """Run a claimed saga, and return its document.

        Returns when the saga ends, `max_s` pass, another driver claims it, or the next backoff does not fit (without
        `max_s`: any backoff).
        """
        trace.bind(**{self.saga.log_id_field: doc["_id"]})
        saga = self.definition(doc)
        ends_at = None if max_s is None else clock.monotonic() + max_s
        while doc["open"]:
            state = State.from_doc(doc)
            if ends_at is not None and clock.monotonic() >= ends_at:
                return self._write(doc, state, due=clock.timestamp())
            state = self._send_heartbeat(saga, state, ends_at)
            step, outcome = saga.steps[state.step].name, self._perform(saga, doc["_id"], state, ends_at)
            state = saga.advance(state, outcome)
            metrics.saga_steps[saga.name, step, state.log[-1]["outcome"]].inc()
            if state.blocked:
                log.error("saga blocked", step=step, attempts=state.defects, error=str(outcome))
                return self._write(doc, state, due=NEVER_DUE)
            if state.waiting:
                written = self._write(doc, state, due=_next_look(saga, state))
                hinted = written["fence"] == doc["fence"] and written.get("hints", 0) != doc.get("hints", 0)
                if not hinted or (claimed := self.claim(written)) is None:
                    return written
                doc = claimed
                continue
            backoff_s = saga.backoff_s(state)
            if backoff_s and (ends_at is None or clock.monotonic() + backoff_s >= ends_at):
                return self._write(doc, state, due=clock.timestamp_in(backoff_s))
            fence = doc["fence"]
            doc = self._write(doc, state, due=clock.timestamp_in(self._lease_s()))
            if doc["fence"] != fence:
                return doc
            clock.sleep(backoff_s)
        return doc

    def find_definition(self, doc: Doc) -> Saga | None:
        """Return the definition by which a saga runs; None if only a later release has it."""
        return self.saga.of_version(doc.get("sagaVersion", 1))  # 0.2.0 stored no version

    def definition(self, doc: Doc) -> Saga:
        """Return the definition by which a saga runs. Raises LaterVersion."""
        found = self.find_definition(doc)
        if found is None:
            raise LaterVersion(self.saga.name, doc["sagaVersion"])
        return found

    def claim(self, doc: Doc) -> Doc | None:
        """Claim a saga that is due; return None if another driver was faster.

        The last driver may have sent the command of the current step: its outcome is unknown.
        """
        due = clock.timestamp_in(self._lease_s())
        state = State.from_doc(doc)
        woken = self.definition(doc).wake(state).to_doc() if state.waiting else {}
        change: Update = {"$set": {**woken, "due": due, "outcomeUnknown": True}, "$inc": {"fence": 1}}
        return self.collection.update(doc["_id"], change, when={"fence": doc["fence"], "due": doc["due"], "open": True})

    def hint(self, id: str) -> None:
        """Make a saga that waits for a person due: something may have happened. Any other saga goes on as before."""
        doc = self.collection.get(id)
        if doc is None or not doc["open"]:
            return
        doc = self.collection.update(id, {"$inc": {"hints": 1}}, when={"open": True})
        if doc and State.from_doc(doc).waiting:
            now = {"$set": {"due": clock.timestamp()}}
            self.collection.update(id, now, when={"fence": doc["fence"], "due": doc["due"], "open": True})

    def resume(self, doc: Doc) -> None:
        """Claim a saga that is due, and run it."""
        claimed = self.claim(doc)
        if claimed:
            with trace.continue_trace(claimed["traceparent"], f"resume {self.saga.name}", "internal"):
                self.drive(claimed)

    def find_due(self) -> list[Doc]:
        """Find the sagas that are due and have a version of this release; drivers of a later one resume the others."""
        where: Filter = {"open": True, "due": {"$lt": clock.timestamp()}}
        found, after = list[Doc](), None
        while page := self.collection.find(where, sort="due", limit=MAX_DUE, after=after):
            found += [doc for doc in page if self.find_definition(doc)]
            if len(page) < MAX_DUE or len(found) >= MAX_DUE:
                break
            after = cursor_after(page, "due")
        return found

    def run(self, stop: threading.Event) -> None:
        """Resume due sagas, several at once, until `stop` is set."""
        resuming: set[str] = set()
        pool, export = ThreadPoolExecutor(MAX_CONCURRENT, "saga"), Throttled(self.export_gauges)

        def resume_due() -> float:
            try:
                for doc in self.find_due():
                    if doc["_id"] not in resuming:
                        resuming.add(doc["_id"])
                        pool.submit(self._resume_in_pool, doc, resuming)
            finally:
                export()
            return POLL_S

        try:
            run_until(stop, resume_due, "saga driver failed", max_backoff_s=MAX_BACKOFF_S)
        finally:
            pool.shutdown(cancel_futures=True)

    def export_gauges(self) -> None:
        """Export how many sagas are open, and how old they are; each driver exports all sagas."""
        self.gauges.export(self.collection)

    def _resume_in_pool(self, doc: Doc, resuming: set[str]) -> None:
        try:
            self.resume(doc)
        except TransientError as error:
            log.warning("saga not resumed; retrying", **{self.saga.log_id_field: doc["_id"]}, error=error)
        except Exception as error:  # or the pool would hide it
            log.error("saga not resumed; retrying", **{self.saga.log_id_field: doc["_id"]}, error=error)
        finally:
            resuming.discard(doc["_id"])

    def _perform(self, saga: Saga, id: str, state: State, ends_at: float | None) -> Outcome:
        """Run the current action, in a span; return its outcome."""
        step, action = saga.action(state)
        name = f"{saga.name} {'undo ' if state.undoing else ''}{step.name}"
        with trace.span(name, attributes={"saga.step": step.name, "saga.attempts": state.attempts}) as span:
            outcome = self._outcome(saga, id, state, step, action, ends_at)
            span.set_attribute("saga.outcome", type(outcome).__name__)
            if isinstance(outcome, TransientError):
                span.set_error(type(outcome).__name__)
        if state.undoing and state.attempts + 1 == STUCK_ATTEMPTS and not isinstance(outcome, Done):
            log.error("compensation keeps failing", step=step.name, attempts=STUCK_ATTEMPTS, error=str(outcome))
        return outcome

    def _outcome(self, saga: Saga, id: str, state: State, step: Step, action: Action, ends_at: float | None) -> Outcome:
        try:
            with deadline.within(_left_s(ends_at)):
                data = saga.action_data(state)
                if isinstance(action, type):
                    reply = self._send(_build_command(action, data), saga.idempotency_key(id, state))
                else:
                    reply = action(data)
                wanted = getattr(reply, "action", None)
                if isinstance(wanted, UserAction) and not state.undoing:
                    return _waiting(step, data, reply, wanted.until)
            return Done(reply.model_dump(mode="json") if hasattr(reply, "model_dump") else {})
        except (DomainError, NotAttempted, OutcomeUnknown) as error:
            if isinstance(error, DomainError) and state.undoing:
                return OutcomeUnknown(f"undo was rejected: {error}")
            is_invalid = isinstance(error, RequestRejected) and error.is_invalid
            return Defect(str(error)) if is_invalid or isinstance(error, UpstreamDefect) else error
        except DeadlineExceeded as error:
            return NotAttempted(str(error))
        except TransientError as error:
            return OutcomeUnknown(str(error))
        except Exception as error:
            # The outcome is unknown, as after a lost response; repeated defects of a `do` block the saga.
            log.error("saga step failed", step=step.name, undoing=state.undoing, error=error)
            return Defect(f"{type(error).__name__} in {step.name}")

    def _send_heartbeat(self, saga: Saga, state: State, ends_at: float | None) -> State:
        """Send the heartbeat command of the current step if it is due; return the state with its time.

        The next one is due `renew_after_ms` after the last one; its reply, or that of the step before, has this time.
        So retries that fail at once, as while a circuit is open, do not load the service that gets the heartbeats.
        """
        command = saga.steps[state.step].heartbeat_command
        if command is None or not state.attempts or state.undoing:
            return state
        renewed_at = max(state.step_started_at, state.data.get("renewed_at", ""))
        if clock.seconds_since(renewed_at) * 1000 < state.data.get("renew_after_ms", 0):
            return state
        try:
            with deadline.within(_left_s(ends_at)):
                reply = self._send(_build_command(command, saga.action_data(state)), "")
        except (DomainError, TransientError) as error:
            log.warning("heartbeat command of a saga failed", command=command.name, error=error)
            return state
        except Exception as error:  # a defect: the step itself decides whether the saga continues
            log.error("heartbeat command of a saga failed", command=command.name, error=error)
            return state
        renewed = {"renewed_at": clock.timestamp(), "renew_after_ms": getattr(reply, "renew_after_ms", 0)}
        return replace(state, data={**state.data, **renewed})

    def _write(self, doc: Doc, state: State, due: str) -> Doc:
        """Store the state if this driver still holds the saga; return the document as it is then."""
        fields = {**state.to_doc(), "open": not state.ended, "due": due}
        written = self.collection.update(doc["_id"], {"$set": fields}, when={"fence": doc["fence"]})
        if written is None:
            log.warning("saga claimed by another driver")
            return self.collection.get(doc["_id"]) or doc
        if state.ended:
            ended = self.saga.name, state.ended
            duration_s = age_s(written)
            metrics.sagas_finished[ended].inc()
            metrics.saga_duration[ended].observe(duration_s, trace.exemplar(doc["traceparent"]))
        return written


def _waiting(step: Step, data: Payload, reply: Any, until: str) -> Waiting | Abandoned:
    try:
        if step.before_waiting is not None:
            step.before_waiting(data)
    except DomainError as error:
        return Abandoned(error)
    return Waiting(until, reply.model_dump(mode="json"))


def _next_look(saga: Saga, state: State) -> str:
    """Return when a waiting saga is due: when its time is over, or its heartbeat command before that."""
    until = str((state.waiting or {})["until"])
    renew_after_ms = state.data.get("renew_after_ms", 0) if saga.steps[state.step].heartbeat_command else 0
    if not renew_after_ms:
        return until
    renewed_at = clock.parse_timestamp(max(state.step_started_at, state.data.get("renewed_at", "")))
    return min(until, clock.timestamp(renewed_at + timedelta(milliseconds=renew_after_ms)))


def _left_s(ends_at: float | None) -> float:
    return calls.MAX_CALL_S if ends_at is None else ends_at - clock.monotonic()


def _build_command(command: type[Command], data: Payload) -> Command:
    """Return the command with its fields taken from the saga's data by name."""
    return command.model_validate({name: data[name] for name in command.model_fields if name in data}, strict=False)
