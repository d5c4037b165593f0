"""Many clients of a service at once: what they send, and whether each answer is as it should be."""

from __future__ import annotations

import asyncio
import collections
import contextlib
import dataclasses
import itertools
import random
import time
from collections.abc import Sequence
from pathlib import Path

import httpx

_SAME = 1e-3
"""How far scores of one file may lie apart: batches are of different faces each time."""
_EVERY_S = 2.0
"""Seconds between two looks at the server's memory and health."""


@dataclasses.dataclass(frozen=True)
class Media:
    """A file to send: what it holds, and whether it can be scored."""

    name: str
    data: bytes
    whole: bool = True


@dataclasses.dataclass
class Seen:
    """What clients saw.

    Attributes:
      seconds: of each answer, from the first byte sent to the last received.
      turned_away: times that the queue was full.
      problems: answers that are not as they should be.
      scores: of each file by name.
      memory: of the server, bytes, each some seconds.
      health: seconds that /healthz took, as often.
    """

    seconds: list[float] = dataclasses.field(default_factory=list)
    turned_away: int = 0
    problems: list[str] = dataclasses.field(default_factory=list)
    scores: dict[str, list[float]] = dataclasses.field(
        default_factory=lambda: collections.defaultdict(list)
    )
    memory: list[int] = dataclasses.field(default_factory=list)
    health: list[float] = dataclasses.field(default_factory=list)


def broken(whole: Sequence[Media]) -> list[Media]:
    """Files that cannot be scored: cut off, noise under a picture's name, and text."""
    noise = random.Random(0).randbytes(50_000)
    found = [Media(f"cut-{m.name}", m.data[: min(200, len(m.data) // 2)], False) for m in whole[:2]]
    found += [Media("noise.jpg", noise, False), Media("text.mp4", b"no film", False)]
    return [*found, Media("head.jpg", b"\xff\xd8\xff\xe0" + noise, False)]


def order(count: int, media: Sequence[Media], ruined: Sequence[Media], every: int) -> list[Media]:
    """What is sent: each in turn, and instead of each `every`-th a broken one."""
    good, bad = itertools.cycle(media), itertools.cycle(ruined)
    return [next(bad) if i % every == every - 1 else next(good) for i in range(count)]


async def ask(client: httpx.AsyncClient, media: Media, number: int, seen: Seen) -> None:
    """Sends one file, again where the queue was full, and looks at the answer."""
    name = f"{number}-{media.name}"
    while True:
        begin = time.perf_counter()
        answer = await client.post(
            "/v1/predict", params={"wait": 300}, files={"file": (name, media.data)}
        )
        if answer.status_code != 429:
            break
        seen.turned_away += 1
        await asyncio.sleep(float(answer.headers["Retry-After"]))
    seen.seconds.append(time.perf_counter() - begin)
    if answer.status_code != 200:
        seen.problems.append(f"{name}: {answer.status_code} {answer.text[:200]}")
        return
    entry = answer.json()
    if entry["input"] != name:
        seen.problems.append(f"{name}: the answer is of {entry['input']}")
    elif media.whole != (entry["score"] is not None) or media.whole == bool(entry["error"]):
        seen.problems.append(f"{name}: score {entry['score']}, error {entry['error']!r}")
    elif media.whole:
        seen.scores[media.name].append(entry["score"])


async def watch(client: httpx.AsyncClient, pid: int, seen: Seen) -> None:
    """Looks at the server's memory and health until it is cancelled."""
    while True:
        begin = time.perf_counter()
        answer = await client.get("/healthz")
        seen.health.append(time.perf_counter() - begin)
        if answer.status_code != 200:
            seen.problems.append(f"/healthz: {answer.status_code}")
        seen.memory.append(resident(pid))
        await asyncio.sleep(_EVERY_S)


async def fire(url: str, pid: int, sent: Sequence[Media], *, clients: int, limit_s: float) -> Seen:
    """All requests, by so many clients at once.

    Raises:
      TimeoutError: after `limit_s` seconds.
    """
    seen = Seen()
    waiting = iter(enumerate(sent))

    async def work(client: httpx.AsyncClient) -> None:
        for number, media in waiting:
            await ask(client, media, number, seen)

    limits = httpx.Limits(max_connections=clients + 1)
    async with (
        asyncio.timeout(limit_s),
        httpx.AsyncClient(base_url=url, timeout=limit_s, limits=limits) as client,
    ):
        watching = asyncio.create_task(watch(client, pid, seen))
        await asyncio.gather(*(work(client) for _ in range(clients)))
        watching.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await watching
    return seen


def problems(seen: Seen, sent: Sequence[Media]) -> list[str]:
    """What was lost or differs, over all answers."""
    found = list(seen.problems)
    if len(seen.seconds) != len(sent):
        found.append(f"{len(sent)} requests and {len(seen.seconds)} answers")
    for name, scores in seen.scores.items():
        if max(scores) - min(scores) > _SAME:
            found.append(f"{name}: scores from {min(scores)} to {max(scores)}")
    return found


def resident(pid: int) -> int:
    """Memory of a process that lies in RAM, bytes."""
    [line] = [
        line
        for line in Path(f"/proc/{pid}/status").read_text().splitlines()
        if line.startswith("VmRSS:")
    ]
    return 1024 * int(line.split()[1])
