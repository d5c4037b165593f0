"""Working ahead: what an iterator gives, made by a thread of its own."""

import queue
import threading
from collections.abc import Iterable, Iterator
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

    def put(item: tuple[T] | BaseException | None) -> bool:
        while not stopped.is_set():
            try:
                made.put(item, timeout=_WAIT)
                return True
            except queue.Full:
                continue
        return False

    def make() -> None:
        try:
            for item in items:
                if not put((item,)):
                    return
            put(None)
        except BaseException as error:  # handed to the thread that reads
            put(error)

    threading.Thread(target=make, daemon=True, name="ahead").start()
    try:
        while (item := made.get()) is not None:
            if isinstance(item, BaseException):
                raise item
            yield item[0]
    finally:
        stopped.set()
