"""From records to augmented batches: images a second and core, against reading without augmenting.

    python -m benchmarks.input [--records=DIR] [--ops=standard] [--cores=1]

Without --records, some are made of drawn faces at the wanted size, in a temporary folder.
"""

from __future__ import annotations

import os
import statistics
import tempfile
import time
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
_BATCHES = flags.DEFINE_integer("batches", 20, "Timed in each of three runs; the median counts.")
_CORES = flags.DEFINE_integer("cores", 1, "That it may use.")


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


def images_per_second(source: RecordSource, ops: str) -> float:
    """Of the batches that training would get, after a few to warm up."""
    size = _BATCH.value
    sampler = Sampler(source.columns["label"], batch_size=size, seed=0)
    batches = train_batches(
        source, sampler, ops=PRESETS[ops], image_size=_SIZE.value, workers=_CORES.value
    )
    for _ in range(4):
        next(batches)
    start = time.perf_counter()
    for _ in range(_BATCHES.value):
        next(batches)
    seconds = time.perf_counter() - start
    batches.close()
    return _BATCHES.value * size / seconds


def main(_: list[str]) -> None:
    """Runs the command."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    with tempfile.TemporaryDirectory() as folder:
        records = Path(_RECORDS.value or folder)
        if not _RECORDS.value:
            write_records(records, _SIZE.value)
        # After the records are made, and before TensorFlow counts the cores for its threads.
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: _CORES.value])
        source = RecordSource(records, "train")
        rates = {
            ops: statistics.median(images_per_second(source, ops) for _ in range(3))
            for ops in ("none", _OPS.value)
        }
    emit(
        f"input_{_OPS.value}",
        rates[_OPS.value] / _CORES.value,
        "images/s a core",
        ratio=rates[_OPS.value] / rates["none"],
        reference="the same without augmentation",
        image_size=_SIZE.value,
        device=cores(_CORES.value),
    )


if __name__ == "__main__":
    app.run(main)
