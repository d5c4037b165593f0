"""From records to augmented batches: images a second and core, against reading without augmenting.

    python -m benchmarks.input [--records=DIR] [--ops=standard] [--cores=1] [--processes=1,2]

A host's cores make batches in one process with a thread a core, or in several that share the cores
and, like the processes of a pod, the global batch; a line each.

Without --records, some are made of drawn faces at the wanted size, in a temporary folder.
"""

from __future__ import annotations

import dataclasses
import multiprocessing
import os
import queue
import statistics
import tempfile
import time
from multiprocessing.queues import Queue
from multiprocessing.synchronize import Barrier
from pathlib import Path

import numpy as np
from absl import app, flags

from benchmarks.lines import cores, emit
from data_pipeline.extract.crops import encode
from data_pipeline.extract.extraction import Extraction
from data_pipeline.pack import pack
from data_pipeline.synthetic import synthetic_source
from data_pipeline.training.ops import PRESETS
from data_pipeline.training.pipeline import train_batches
from data_pipeline.training.sampler import Sampler
from data_pipeline.training.sources import RecordSource

_RECORDS = flags.DEFINE_string("records", None, "What data_pipeline.prepare wrote.")
_OPS = flags.DEFINE_enum("ops", "standard", list(PRESETS), "Augmentation.")
_SIZE = flags.DEFINE_integer("image_size", 380, "Pixels of the batches, and of records made here.")
_BATCH = flags.DEFINE_integer("batch_size", 32, "Images.")
_BATCHES = flags.DEFINE_integer("batches", 20, "Timed in each of 3 runs; the median counts.")
_CORES = flags.DEFINE_integer("cores", 1, "That it may use.")
_PROCESSES = flags.DEFINE_list("processes", ["1"], "Counts, measured one after the other.")
_RUNS = 3


def write_records(out: Path, size: int) -> None:
    """A build of drawn faces, as JPEG of quality 95."""
    drawn = synthetic_source("test", seed=0, image_size=size, num_identities=8)
    count = min(len(drawn), 256)
    images = [example.image for example in drawn.read(np.arange(count))]
    rows = np.arange(count, dtype=np.int32)
    path = out / "videos" / "drawn.npz"
    Extraction(
        meta={
            **dict.fromkeys(("dataset", "subset", "compression", "source_id"), "drawn"),
            **{"split": "train", "video_id": "drawn", "label": 1, "crop_version": "n1"},
        },
        crops=[encode(image, "jpeg", 95) for image in images],
        frame=rows,
        timestamp=rows.astype(np.float32),
        face=np.zeros(count, np.int32),
        box=np.zeros((count, 4), np.float32),
        landmarks=np.zeros((count, 5, 2), np.float32),
        score=np.ones(count, np.float32),
        size=np.array([size, size], np.int32),
        problem="",
    ).save(path)
    pack([path], out, name="drawn", crop_size=size, file_format="array_record")


def share(index: int, count: int, cores_used: int) -> list[int]:
    """The cores of one of a host's processes; of too few they have one together."""
    there = sorted(os.sched_getaffinity(0))[:cores_used]
    own = max(1, len(there) // count)
    return [there[(index * own + i) % len(there)] for i in range(own)]


@dataclasses.dataclass(frozen=True)
class Work:
    """What each process of a host is to do, and on which cores.

    Attributes:
      records: folder.
      ops: names of presets, measured one after the other.
      image_size: pixels.
      batch_size: of a process.
      batches: timed in each run.
      runs: of each preset.
      shares: the cores of each process.
    """

    records: str
    ops: tuple[str, ...]
    image_size: int
    batch_size: int
    batches: int
    runs: int
    shares: tuple[tuple[int, ...], ...]


def work(todo: Work, index: int, together: Barrier, found: Queue[dict[str, list[float]]]) -> None:
    """One process: as one of a pod's it takes its part of each global batch.

    Args:
      index: of the process.
      together: where all wait before each run, so that they compete while they are timed.
      found: gets the images a second of each preset and run.
    """
    own = todo.shares[index]
    os.sched_setaffinity(0, own)  # before TensorFlow counts the cores for its threads
    source = RecordSource(todo.records, "train")
    count = len(todo.shares)
    sampler = Sampler(source.columns["label"], batch_size=count * todo.batch_size, seed=0)
    rates: dict[str, list[float]] = {ops: [] for ops in todo.ops}
    for ops in todo.ops * todo.runs:
        batches = train_batches(
            source,
            sampler,
            ops=PRESETS[ops],
            image_size=todo.image_size,
            process_index=index,
            process_count=count,
            workers=len(own),
        )
        for _ in range(4):
            next(batches)
        together.wait()
        start = time.perf_counter()
        for _ in range(todo.batches):
            next(batches)
        rates[ops].append(todo.batches * todo.batch_size / (time.perf_counter() - start))
        together.wait()  # nobody has the machine alone at the end
        batches.close()
    found.put(rates)


def images_per_second(todo: Work) -> dict[str, float]:
    """Of all processes together, the median of the runs, by preset.

    Raises:
      RuntimeError: a process ended without a result.
    """
    context = multiprocessing.get_context("spawn")
    together = context.Barrier(len(todo.shares))
    found: Queue[dict[str, list[float]]] = context.Queue()
    processes = [
        context.Process(target=work, args=(todo, index, together, found), daemon=True)
        for index in range(len(todo.shares))
    ]
    for process in processes:
        process.start()
    results: list[dict[str, list[float]]] = []
    while len(results) < len(processes):
        try:
            results.append(found.get(timeout=1))
        except queue.Empty:
            if any(process.exitcode for process in processes):
                together.abort()
                raise RuntimeError("a process ended early; its own words are above") from None
    for process in processes:
        process.join()
    return {
        ops: statistics.median(map(sum, zip(*(rates[ops] for rates in results), strict=True)))
        for ops in todo.ops
    }


def main(_: list[str]) -> None:
    """Runs the command."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    with tempfile.TemporaryDirectory() as folder:
        records = Path(_RECORDS.value or folder)
        if not _RECORDS.value:
            write_records(records, _SIZE.value)
        for count in map(int, _PROCESSES.value):
            shares = [share(index, count, _CORES.value) for index in range(count)]
            todo = Work(
                records=str(records),
                ops=("none", _OPS.value),
                image_size=_SIZE.value,
                batch_size=_BATCH.value,
                batches=_BATCHES.value,
                runs=_RUNS,
                shares=tuple(map(tuple, shares)),
            )
            rates = images_per_second(todo)
            emit(
                f"input_{_OPS.value}",
                rates[_OPS.value] / _CORES.value,
                "images/s a core",
                ratio=rates[_OPS.value] / rates["none"],
                reference="the same without augmentation",
                image_size=_SIZE.value,
                processes=count,
                threads=len(shares[0]),
                device=cores(_CORES.value),
            )


if __name__ == "__main__":
    app.run(main)
