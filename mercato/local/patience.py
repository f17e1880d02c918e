"""Questions to processes that may never answer: asked all at once, and waited for no longer than each deserves."""

import queue
import threading
from collections.abc import Callable, Mapping
from typing import TypeVar

from chassis import clock

K = TypeVar("K")
T = TypeVar("T")


def ask_all(questions: Mapping[K, Callable[[], T]], patience_s: Callable[[K], float]) -> dict[K, T]:
    """Call all functions at once, each in a thread of its own; return what they returned within their time.

    A function that is late goes on in the background, and does not keep the process from ending.
    """
    answers: queue.Queue[tuple[K, T]] = queue.Queue()
    for key, ask in questions.items():
        threading.Thread(target=_put_answer, args=(answers, key, ask), daemon=True).start()
    started_at = clock.monotonic()
    found: dict[K, T] = {}
    while waiting := [patience_s(key) for key in questions if key not in found]:
        try:
            key, answer = answers.get(timeout=max(0.0, started_at + max(waiting) - clock.monotonic()))
        except queue.Empty:
            break
        found[key] = answer
    return found


def _put_answer(answers: "queue.Queue[tuple[K, T]]", key: K, ask: Callable[[], T]) -> None:
    answers.put((key, ask()))
