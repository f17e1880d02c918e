"""The driver: carries sagas out, one write for each step, so that any other driver can go on where this one died.

    {_id, saga, ...State, open, concurrency_slot, fence: 3, due: "until when the present driver may go on, or when to try again"}

A driver claims a saga that is due by raising its fence; every write it makes is guarded by that fence, so one that
slept past its lease writes nothing more. What it may still call is refused or repeated under the step's key.
The write that holds the outcome of one step also says that the next is begun.
"""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from chassis import calls, clock, deadline
from chassis.errors import DeadlineExceeded, DomainError, NotAttempted, OutcomeUnknown, TransientError
from chassis.messages import Command
from chassis.observe import metrics, trace
from chassis.observe.log import log
from chassis.observe.throttled import Throttled
from chassis.sagas import STUCK, Action, Done, Outcome, Payload, Saga, State, Step
from chassis.store import LARGEST_PAGE, Collection, Doc, Index, Update, cursor_after

DUE = Index("open", "due", partial={"open": True})
CONCURRENCY_SLOT = Index("concurrencySlot", unique=True, partial={"open": True})
THREADS = 8
PAUSE = 0.25
"""Seconds between two looks for what is due."""

Send = Callable[[Command, str], object]


def _send(command: Command, key: str) -> object:
    return calls.send(command, key=key, attempts=1)


class Driver:
    """Drives the sagas of one collection. `lease` in seconds is longer than any call lasts."""

    def __init__(self, saga: Saga, collection: Collection, lease: Callable[[], float], send: Send = _send) -> None:
        self.saga, self.collection, self._lease, self._send = saga, collection, lease, send

    def open(self, id: str, data: Payload, concurrency_slot: str = "") -> Doc:
        """Begin a saga and claim it: one insert. Raises Duplicate if it was begun before, or its concurrency_slot is in use.

        Where the collection has `CONCURRENCY_SLOT`, of the open sagas each has a concurrency_slot of its own.
        """
        doc = {
            "_id": id,
            "saga": self.saga.name,
            **self.saga.begin(data).fields(),
            "open": True,
            "concurrencySlot": concurrency_slot or id,
            "fence": 1,
            "due": clock.timestamp_in(self._lease()),
            "openedAt": clock.timestamp(),
            "traceparent": trace.traceparent(),
        }
        self.collection.insert(doc)
        metrics.sagas_started[self.saga.name].inc()
        return doc

    def drive(self, doc: Doc, seconds: float | None = None) -> Doc:
        """Go on with a claimed saga until it ends, has to wait, or `seconds` are over; the saga as it is then."""
        trace.about(**{self.saga.log_id_field: doc["_id"]})
        ends = None if seconds is None else clock.monotonic() + seconds
        while doc["open"]:
            state = State.read(doc)
            if ends is not None and clock.monotonic() >= ends:
                return self._write(doc, state, due=clock.timestamp())
            step, outcome = self.saga.steps[state.step].name, self._perform(doc["_id"], state, ends)
            state = self.saga.advance(state, outcome)
            metrics.saga_steps[self.saga.name, step, state.log[-1]["outcome"]].inc()
            wait = self.saga.wait(state)
            if wait and (ends is None or clock.monotonic() + wait >= ends):
                return self._write(doc, state, due=clock.timestamp_in(wait))
            fence = doc["fence"]
            doc = self._write(doc, state, due=clock.timestamp_in(self._lease()))
            if doc["fence"] != fence:
                return doc
            clock.sleep(wait)
        return doc

    def claim(self, doc: Doc) -> Doc | None:
        """Take over a saga that is due; None if another driver did. What its last driver sent is not known."""
        change: Update = {
            "$set": {"due": clock.timestamp_in(self._lease()), "outcome_unknown": True},
            "$inc": {"fence": 1},
        }
        return self.collection.update(doc["_id"], change, when={"fence": doc["fence"], "due": doc["due"], "open": True})

    def resume(self, doc: Doc) -> None:
        """Claim a saga that is due, and drive it."""
        claimed = self.claim(doc)
        if claimed:
            with trace.continued(claimed["traceparent"], f"resume {self.saga.name}", "internal"):
                self.drive(claimed)

    def due(self) -> list[Doc]:
        """The sagas that a driver may take now."""
        return self.collection.find({"open": True, "due": {"$lt": clock.timestamp()}}, sort="due", limit=100)

    def run(self, stop: threading.Event) -> None:
        """Resume what is due until told to stop; one that takes long keeps no other waiting."""
        under_way: set[str] = set()
        pool, tell = ThreadPoolExecutor(THREADS, thread_name_prefix="saga"), Throttled(self._export_metrics)
        try:
            while not stop.is_set():
                try:
                    for doc in self.due():
                        if doc["_id"] not in under_way:
                            under_way.add(doc["_id"])
                            pool.submit(self._safely, doc, under_way)
                except TransientError as error:
                    log.warning("the saga driver waits", error=error)
                    stop.wait(1.0)
                tell()
                stop.wait(PAUSE)
        finally:
            pool.shutdown(cancel_futures=True)

    def _safely(self, doc: Doc, under_way: set[str]) -> None:
        try:
            self.resume(doc)
        except TransientError as error:
            log.warning("a saga waits", **{self.saga.log_id_field: doc["_id"]}, error=error)
        finally:
            under_way.discard(doc["_id"])

    def _perform(self, id: str, state: State, ends: float | None) -> Outcome:
        step, action = self.saga.action(state)
        name = f"{self.saga.name} {'undo ' if state.undoing else ''}{step.name}"
        with trace.span(name, attributes={"saga.step": step.name, "saga.tries": state.tries}) as span:
            outcome = self._outcome(id, state, step, action, ends)
            span.set("saga.outcome", type(outcome).__name__)
            if isinstance(outcome, TransientError):
                span.failed(type(outcome).__name__)
        if state.undoing and state.tries + 1 == STUCK and not isinstance(outcome, Done):
            log.error("undoing a saga step keeps failing", step=step.name, tries=STUCK, error=str(outcome))
        return outcome

    def _outcome(self, id: str, state: State, step: Step, action: Action, ends: float | None) -> Outcome:
        try:
            left = calls.LONGEST if ends is None else ends - clock.monotonic()
            with deadline.within(left):
                if step.heartbeat_command and state.tries and not state.undoing:
                    self._send_heartbeat(step.heartbeat_command, id, state)
                if isinstance(action, type):
                    answer = self._send(filled(action, state), self.saga.key(id, state))
                else:
                    answer = action(state_data(state))
            return Done(answer.model_dump(mode="json") if hasattr(answer, "model_dump") else {})
        except (DomainError, NotAttempted, OutcomeUnknown) as result:
            if isinstance(result, DomainError) and state.undoing:
                return OutcomeUnknown(f"an undo cannot be refused: {result}")
            return result
        except DeadlineExceeded as error:
            return NotAttempted(str(error))
        except TransientError as error:
            return OutcomeUnknown(str(error))
        except Exception as error:
            # A defect must not lose a saga: it stays open, is repeated, and shows.
            log.error("a saga step failed", step=step.name, undoing=state.undoing, error=error)
            return OutcomeUnknown(f"{type(error).__name__} in {step.name}")

    def _send_heartbeat(self, command: type[Command], id: str, state: State) -> None:
        try:
            self._send(filled(command, state), "")
        except (DomainError, TransientError) as error:
            log.warning("a saga's companion command failed", command=command.name, error=error)

    def _write(self, doc: Doc, state: State, due: str) -> Doc:
        fields = {**state.fields(), "open": not state.ended, "due": due}
        fenced = self.collection.update(doc["_id"], {"$set": fields}, when={"fence": doc["fence"]})
        if fenced is None:
            log.warning("another driver has taken this saga over")
            return self.collection.get(doc["_id"]) or doc
        if state.ended:
            ended = self.saga.name, state.ended
            took = max(0.0, clock.seconds_since(doc["openedAt"]))
            metrics.sagas_finished[ended].inc()
            metrics.saga_duration[ended].observe(took, trace.exemplar(doc["traceparent"]))
        return fenced

    def _export_metrics(self) -> None:
        """What is open, for operators; each driver tells of all."""
        begun: dict[str, list[str]] = {step.name: [] for step in self.saga.steps}
        stuck, after = 0, None
        while page := self.collection.find({"open": True}, sort="due", limit=LARGEST_PAGE, after=after):
            for doc in page:
                begun[self.saga.steps[doc["step"]].name].append(doc["openedAt"])
                stuck += doc["undoing"] and doc["tries"] >= STUCK
            after = cursor_after(page, "due")
        for step, times in begun.items():
            metrics.sagas_open[self.saga.name, step].set(len(times))
            age = max(0.0, clock.seconds_since(min(times))) if times else 0.0
            metrics.saga_oldest[self.saga.name, step].set(age)
        metrics.sagas_stuck[self.saga.name].set(stuck)


def state_data(state: State) -> Payload:
    """What an action sees: the saga's data, and why it is being undone."""
    return {**state.data, "reason": state.reason} if state.reason else dict(state.data)


def filled(command: type[Command], state: State) -> Command:
    """A command with its fields taken from the saga's data by name."""
    data = state_data(state)
    return command.model_validate({name: data[name] for name in command.model_fields if name in data}, strict=False)
