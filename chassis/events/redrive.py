"""The redrive of dead letters: when an operator requests it, they are handled again, each key in order.

After an upgrade, the consumer itself requests those whose event type only the new release knows.
"""

from collections.abc import Callable

from chassis import clock
from chassis.bus import Partition
from chassis.errors import TransientError
from chassis.events import dead_letters, envelope
from chassis.events.envelope import MalformedRecord
from chassis.events.handlers import FAILURES, HandlerFailed, Handlers, describe
from chassis.observe.log import log
from chassis.store import Doc

MAX_KEYS = 50
"""Maximum number of requested dead letters that one run reads."""
_MIN_PAUSE_S, _MAX_PAUSE_S = 2.0, 60.0


class Redrive:
    """Redrives the dead letters of the partitions that its consumer owns.

    Another consumer would break the order of events: it may not redrive them.

    Arguments:
        is_owned: whether the consumer owns a partition.
        heartbeat: called before each dead letter, so that the consumer keeps its partitions.
    """

    def __init__(
        self, handlers: Handlers, is_owned: Callable[[Partition], bool], heartbeat: Callable[[], None]
    ) -> None:
        self._handlers, self._is_owned, self._heartbeat = handlers, is_owned, heartbeat
        self._pause_s, self._paused_until = 0.0, float("-inf")

    def run(self) -> bool:
        """Handle the requested dead letters again; return whether any may have been deleted.

        After a TransientError, redrives pause for 2 s, then twice as long each time, up to 60 s; consumption continues.
        """
        if clock.monotonic() < self._paused_until:
            return False
        requested = dead_letters.collection.find({"redrive": True}, limit=MAX_KEYS)
        try:
            keys = dict.fromkeys((doc["topic"], doc["key"]) for doc in requested)
            handled = [self._redrive_key(topic, key) for topic, key in keys]
        except TransientError as error:
            self._pause_s = min(max(2 * self._pause_s, _MIN_PAUSE_S), _MAX_PAUSE_S)
            self._paused_until = clock.monotonic() + self._pause_s
            log.warning("redrive interrupted; retrying", retryInS=self._pause_s, error=error)
            return True
        self._pause_s = 0.0
        return any(handled)

    def request_once_unknown(self) -> None:
        """Request the dead letters whose event type was unknown to the process of an earlier release that parked them.

        To be called when partitions were assigned, as after the last process of that release has ended.
        """
        for dead_letter in dead_letters.collection.iterate():
            if not dead_letter["blocks"] and self._knows(dead_letter) and self._owns(dead_letter):
                dead_letters.request_redrive(dead_letter)

    def _knows(self, dead_letter: Doc) -> bool:
        """Whether the record is readable and of a declared type: if it blocks no key, its type was unknown before."""
        try:
            meta, _ = envelope.from_record(dead_letters.to_record(dead_letter))
        except MalformedRecord:
            return False
        return self._handlers.is_declared(meta.type)

    def _owns(self, dead_letter: Doc) -> bool:
        return self._is_owned((dead_letter["topic"], dead_letter["partition"]))

    def _redrive_key(self, topic: str, key: str) -> bool:
        """Handle the dead letters of a key in order; return whether any was handled.

        Stops after a dead letter that fails and blocks the key.
        """
        handled = False
        for dead_letter in dead_letters.of_key(topic, key):
            self._heartbeat()
            if not self._owns(dead_letter):
                break
            if self._handle(dead_letter):
                handled = True
            elif dead_letter["blocks"]:
                self._end_requests(topic, key)
                break
        return handled

    def _handle(self, dead_letter: Doc) -> bool:
        """Call the handler of a dead letter, and delete it; if the handler fails, keep it with the new reason."""
        record = dead_letters.to_record(dead_letter)
        try:
            meta, data = envelope.from_record(record)
            handling = self._handlers.find(meta.type)
            if handling:
                handling.call(meta, data, record)
            elif not self._handlers.is_declared(meta.type):
                raise HandlerFailed(f"unknown event type {meta.type}", 1)
        except TransientError:
            raise
        except HandlerFailed as error:
            reason, attempts = str(error), error.attempts
        except MalformedRecord as error:
            reason, attempts = str(error), 1
        except FAILURES as error:
            reason, attempts = describe(error), 1
        else:
            dead_letters.collection.delete(dead_letter["_id"])
            log.info(
                "dead letter handled", deadLetterId=dead_letter["_id"], eventType=meta.type, key=dead_letter["key"]
            )
            return True
        dead_letters.note_failed_redrive(dead_letter, reason, attempts)
        return False

    @staticmethod
    def _end_requests(topic: str, key: str) -> None:
        """End the requests of a key, until an operator requests it again."""
        for dead_letter in dead_letters.of_key(topic, key):
            if dead_letter["redrive"]:
                dead_letters.collection.update(dead_letter["_id"], {"$set": {"redrive": False}})
