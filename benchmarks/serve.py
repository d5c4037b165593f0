"""Clients of `matnet serve` on loopback: requests a second, waiting, memory, and nothing is lost.

    python -m benchmarks.serve [--workdir=DIR] [--inputs=DIR] [--clients=50 --requests=1000]

A server of its own gets pictures and clips, one in twenty of them broken. Each request has to get
one answer, of its own file: a score of a whole one, the same each time, and why there is none of a
broken one. The command ends with status 1 where one did not. Wants the extra `test`.
"""

from __future__ import annotations

import asyncio
import collections
import contextlib
import dataclasses
import itertools
import logging
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import httpx
import numpy as np
from absl import app, flags

from benchmarks.lines import cores, emit

_WORKDIR = flags.DEFINE_string("workdir", None, "Of the network; default: a small one of its own.")
_INPUTS = flags.DEFINE_string("inputs", None, "Folder of pictures and clips; default: drawn ones.")
_CLIENTS = flags.DEFINE_integer("clients", 50, "At once.", 1, 1000)
_REQUESTS = flags.DEFINE_integer("requests", 1000, "In all, a file each.", 1, 100_000)
_WARM = flags.DEFINE_integer("warm", 250, "Requests before those: caches and kept results fill.", 0)
_BROKEN_EVERY = flags.DEFINE_integer("broken_every", 20, "One file in so many is broken.", 2)
_SECONDS = flags.DEFINE_float("limit_s", 3600.0, "After which all ends.", 1.0)
_BATCH = flags.DEFINE_integer("batch_size", 8, "Faces that the server scores at once.", 1)

_CLIPS, _FRAMES, _SIDE = 4, 24, 480  # drawn
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


def drawn_media() -> list[Media]:
    """Clips that the project draws, and each one's first frame."""
    import av
    import cv2

    from data_pipeline.synthetic.clips import make_clips

    images, columns = make_clips("test", num_identities=_CLIPS // 2, frames_per_clip=_FRAMES)
    found = []
    with tempfile.TemporaryDirectory() as folder:
        for video in dict.fromkeys(columns["video_id"]):
            frames = [
                cv2.resize(image, (_SIDE, _SIDE), interpolation=cv2.INTER_CUBIC)
                for image in images[columns["video_id"] == video]
            ]
            encoded = cv2.imencode(".jpg", frames[0][..., ::-1])[1]
            found.append(Media(f"{video}.jpg", encoded.tobytes()))
            path = Path(folder) / f"{video}.mp4"
            with av.open(str(path), "w") as container:
                stream = container.add_stream("libx264", rate=8, options={"crf": "18"})
                stream.width = stream.height = _SIDE
                stream.pix_fmt = "yuv420p"
                for frame in frames:
                    container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
                container.mux(stream.encode())
            found.append(Media(path.name, path.read_bytes()))
    return found


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


def places_taken(url: str) -> int:
    """Places of the queue that the server holds to be taken."""
    text = httpx.get(f"{url}metrics").text
    [line] = [line for line in text.splitlines() if line.startswith("matnet_places_taken ")]
    return round(float(line.split()[1]))


@contextlib.contextmanager
def server(workdir: str, *more: str) -> Iterator[tuple[str, int]]:
    """`matnet serve` of a workdir in a process: its address, and its id."""
    command = [sys.executable, "-m", "matnet_jax", "serve", f"--workdir={workdir}", "--port=0"]
    process = subprocess.Popen([*command, *more], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        words = process.stdout.readline().split()
        if len(words) < 3:
            raise SystemExit("error: the server ended before it served; its own words are above")
        yield words[2], process.pid
    finally:
        process.terminate()
        process.wait()


@contextlib.contextmanager
def network() -> Iterator[str]:
    """The given workdir, or one of the demo's network after a few steps."""
    if _WORKDIR.value:
        yield _WORKDIR.value
        return
    with tempfile.TemporaryDirectory() as folder:
        train = [sys.executable, "-m", "matnet_jax", "train", "--config=demo"]
        short = [f"--config.{name}=5 steps" for name in ("train.duration", "validation.every")]
        command = [*train, *short, f"--workdir={folder}"]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        yield folder


def given_media(folder: Path) -> list[Media]:
    """The files of a folder."""
    return [Media(p.name, p.read_bytes()) for p in sorted(folder.iterdir()) if p.is_file()]


def main(_: list[str]) -> int:
    """Runs the command."""
    logging.getLogger("httpx").setLevel(logging.WARNING)  # it tells of every request
    media = given_media(Path(_INPUTS.value)) if _INPUTS.value else drawn_media()
    ruined = broken(media)
    more = [f"--batch_size={_BATCH.value}", *(() if _INPUTS.value else ("--detector=none",))]

    def shoot(url: str, pid: int, sent: Sequence[Media]) -> Seen:
        limit_s = _SECONDS.value
        return asyncio.run(fire(url, pid, sent, clients=_CLIENTS.value, limit_s=limit_s))

    with network() as workdir, server(workdir, *more) as (url, pid):
        started = resident(pid)
        warm = order(_WARM.value, media, ruined, _BROKEN_EVERY.value)
        found = problems(shoot(url, pid, warm), warm)
        warmed = resident(pid)
        sent = order(_REQUESTS.value, media, ruined, _BROKEN_EVERY.value)
        begin = time.perf_counter()
        seen = shoot(url, pid, sent)
        took = time.perf_counter() - begin
        found += problems(seen, sent)
        ended = resident(pid)
        if taken := places_taken(url):
            found.append(f"{taken} places are still taken")
    for problem in found[:20]:
        print(f"error: {problem}", file=sys.stderr)
    emit(
        "serve",
        len(seen.seconds) / took,
        "requests/s",
        device=cores(),
        p50_s=_percentile(seen.seconds, 50),
        p95_s=_percentile(seen.seconds, 95),
        health_p95_s=_percentile(seen.health, 95),
        turned_away=seen.turned_away,
        problems=len(found),
        memory_started_gb=started / 1e9,
        memory_warmed_gb=warmed / 1e9,
        memory_ended_gb=ended / 1e9,
        memory_highest_gb=max(seen.memory) / 1e9,
        clients=_CLIENTS.value,
        requests=len(sent),
        broken=sum(not m.whole for m in sent),
        files=len(media),
        batch_size=_BATCH.value,
    )
    return 1 if found else 0


def _percentile(values: Sequence[float], share: float) -> Any:
    return float(np.percentile(values, share)) if values else None


if __name__ == "__main__":
    app.run(main)
