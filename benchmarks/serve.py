"""Clients of `matnet serve` on loopback: requests a second, waiting, memory, and nothing is lost.

    python -m benchmarks.serve [--workdir=DIR] [--inputs=DIR] [--clients=50 --requests=1000]

A server of its own gets pictures and clips, one in twenty of them broken. Each request has to get
one answer, of its own file: a score of a whole one, the same each time, and why there is none of a
broken one. The command ends with status 1 where one did not. Wants the extra `test`.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import logging
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
from benchmarks.load import Media, broken, fire, order, problems, resident

_WORKDIR = flags.DEFINE_string("workdir", None, "Of the network; default: a small one of its own.")
_INPUTS = flags.DEFINE_string("inputs", None, "Folder of pictures and clips; default: drawn ones.")
_CLIENTS = flags.DEFINE_integer("clients", 50, "At once.", 1, 1000)
_REQUESTS = flags.DEFINE_integer("requests", 1000, "In all, a file each.", 1, 100_000)
_WARM = flags.DEFINE_integer("warm", 250, "Requests before those: caches and kept results fill.", 0)
_BROKEN_EVERY = flags.DEFINE_integer("broken_every", 20, "One file in so many is broken.", 2)
_SECONDS = flags.DEFINE_float("limit_s", 3600.0, "After which all ends.", 1.0)
_BATCH = flags.DEFINE_integer("batch_size", 8, "Faces that the server scores at once.", 1)

_CLIPS, _FRAMES, _SIDE = 4, 24, 480  # drawn


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
    with network() as workdir, server(workdir, *more) as (url, pid):
        started = resident(pid)
        warm = order(_WARM.value, media, ruined, _BROKEN_EVERY.value)
        shots = functools.partial(fire, url, pid, clients=_CLIENTS.value, limit_s=_SECONDS.value)
        found = problems(asyncio.run(shots(warm)), warm)
        warmed = resident(pid)
        sent = order(_REQUESTS.value, media, ruined, _BROKEN_EVERY.value)
        begin = time.perf_counter()
        seen = asyncio.run(shots(sent))
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
