"""Items made ahead of their reader."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator

import pytest

from matnet_jax.predict.ahead import ahead


def _wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.01)
    assert condition()


def _threads() -> int:
    return sum(thread.name == "ahead" for thread in threading.enumerate())


def test_items_come_in_order_and_none_is_lost() -> None:
    """Of all kinds, None among them."""
    items = [None, 1, "two", None]
    assert list(ahead(items, 1)) == items


def test_no_more_than_asked_for_are_made_ahead() -> None:
    """One read, two waiting, one in the hand of the thread."""
    made: list[int] = []

    def items() -> Iterator[int]:
        for i in range(100):
            made.append(i)
            yield i

    reader = ahead(items(), 2)
    assert next(reader) == 0
    _wait_until(lambda: len(made) == 4)
    time.sleep(0.5)
    assert len(made) == 4


def test_an_error_comes_after_the_items_before_it() -> None:
    """As without a thread between."""

    def items() -> Iterator[int]:
        yield 1
        raise ValueError("broken")

    reader = ahead(items(), 4)
    assert next(reader) == 1
    with pytest.raises(ValueError, match="broken"):
        next(reader)


def test_a_reader_that_stops_ends_the_thread() -> None:
    """Whatever is left, also of an endless source."""

    def read_one() -> None:
        for _ in ahead(iter(int, 1), 2):
            assert _threads() == before + 1
            return

    before = _threads()
    read_one()
    _wait_until(lambda: _threads() == before)
