"""Working ahead of whoever reads: an iterator in a thread of its own, and queues that end."""

import queue
import threading
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

T = TypeVar("T")

_WAIT = 0.2  # seconds until a full queue is tried again: nobody may be reading any more


def ahead(items: Iterable[T], most: int) -> Iterator[T]:
    """The same items in the same order, made while the reader works on those before.

    Args:
      items: read by one thread, from the first item that is asked for until this generator is
        closed.
      most: items that may wait.

    Raises:
      Whatever `items` raises, after the items before.
    """
    made: queue.Queue[tuple[T] | BaseException | None] = queue.Queue(maxsize=most)
    stopped = threading.Event()

    def make() -> None:
        try:
            for item in items:
                if not hand_over((item,), made, unless=stopped.is_set):
                    return
            hand_over(None, made, unless=stopped.is_set)
        except BaseException as error:  # handed to the thread that reads
            hand_over(error, made, unless=stopped.is_set)

    threading.Thread(target=make, daemon=True, name="ahead").start()
    try:
        while (item := made.get()) is not None:
            if isinstance(item, BaseException):
                raise item
            yield item[0]
    finally:
        stopped.set()


def hand_over(item: T, into: "queue.Queue[T]", *, unless: Callable[[], bool]) -> bool:
    """Puts an item into a queue once there is room; False where `unless` holds before that."""
    while not unless():
        try:
            into.put(item, timeout=_WAIT)
            return True
        except queue.Full:
            continue
    return False
