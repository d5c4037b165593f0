"""`benchmarks/load.py` against a service with a stub network."""

from __future__ import annotations

import asyncio
import os
from collections import Counter

import pytest
from serving import PATIENCE, picture, running

from benchmarks.load import Media, Seen, broken, fire, order, problems
from matnet_jax.predict.serve.service import Allowed

WHOLE = [Media("a.jpg", picture(40)), Media("b.jpg", picture(30))]


def run(monkeypatch: pytest.MonkeyPatch, sent: list[Media], queue: int = 64) -> Seen:
    with running(monkeypatch, Allowed(queue=queue)) as server:
        seen = asyncio.run(fire(server.url, os.getpid(), sent, clients=8, limit_s=PATIENCE))
        assert server.places == 0
    return seen


def test_one_in_so_many_is_broken_and_all_are_sent_in_turn() -> None:
    sent = order(40, WHOLE, broken(WHOLE), 20)
    assert [i for i, media in enumerate(sent) if not media.whole] == [19, 39]
    assert Counter(m.name for m in sent if m.whole) == {"a.jpg": 19, "b.jpg": 19}


def test_each_request_gets_its_own_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    sent = order(40, WHOLE, broken(WHOLE), 5)
    seen = run(monkeypatch, sent)
    assert problems(seen, sent) == []
    assert len(seen.seconds) == 40 and min(seen.memory) > 0 and seen.health
    assert {name: len(scores) for name, scores in seen.scores.items()} == {"a.jpg": 16, "b.jpg": 16}


def test_what_is_wrong_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    sent = [Media("noise.jpg", b"\xff\xd8\xff\xe0 noise"), Media("a.jpg", picture(), whole=False)]
    seen = run(monkeypatch, sent)
    assert len(problems(seen, sent)) == 2
    seen.seconds.pop()
    assert "2 requests and 1 answers" in problems(seen, sent)
    seen.scores["c.jpg"] = [0.1, 0.2]
    assert "c.jpg: scores from 0.1 to 0.2" in problems(seen, sent)
