"""From a source to batches on the host.

A batch is a dict of arrays, b the process's part of the global batch and S the image size:

- image uint8 [b, S, S, 3] RGB, of clips [b, T, S, S, 3]; label int32 [b]; index int32 [b] (row of
  the source's columns);
- in evaluation, whose last batch is padded, weight float32 [b]: 0 for padding, whose index is -1. A
  training batch has no weight: each of its examples counts;
- what `reads` names, in pixels of the image: mask uint8 [b, S, S], landmarks and landmarks_dense
  float32 [b, K, 2], box float32 [b, 4].

Normalisation happens on the device.
"""

from __future__ import annotations

import dataclasses
from collections import deque
from collections.abc import Callable, Generator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import cv2
import numpy as np

from data_pipeline.cores import usable_cores
from data_pipeline.training.blend.pairs import Pairs
from data_pipeline.training.errors import DataError
from data_pipeline.training.example import Example
from data_pipeline.training.mixture import RECORDS, Mixture
from data_pipeline.training.ops import Op, apply_ops, fields_of
from data_pipeline.training.sampler import Sampler
from data_pipeline.training.sources import RecordSource, Source, check_fields
from data_pipeline.training.window import fit_example

Batch = dict[str, np.ndarray]
MakeBatch = Callable[[int], Batch]

# Training has no end of its own; tf.data and `range` want one.
_ENDLESS = 2**62

_TYPES = {
    "image": np.uint8,
    "label": np.int32,
    "index": np.int32,
    "weight": np.float32,
    "mask": np.uint8,
    "landmarks": np.float32,
    "landmarks_dense": np.float32,
    "box": np.float32,
}


def train_batches(
    source: Source,
    sampler: Sampler | Mixture,
    *,
    ops: Sequence[Op],
    image_size: int,
    reads: Sequence[str] = (),
    pairs: Mapping[str, Pairs] | None = None,
    pair_ops: Sequence[Op] = (),
    start_step: int = 0,
    process_index: int = 0,
    process_count: int = 1,
    workers: int | None = None,
) -> Generator[Batch]:
    """This process's part of each global batch from `start_step` on, without end.

    The batches are a pure function of the sampler's seed and the step: neither workers, nor a
    restart, nor the number of processes changes them.

    Args:
      source: records go through tf.data; arrays through threads, without TensorFlow.
      sampler: of the global batch.
      ops: augmentations, in order, each seeded by the sampler; what they read of an example is not
        in the batches unless `reads` names it.
      image_size: pixels; images of other sizes are cropped to their centre square and resized.
      reads: what the batches hold beside image and label: fields of `example.FIELDS`.
      pairs: of the source, by kind, for a `Mixture`; both of a pair stand together, the real one
        first, and have its row as their index.
      pair_ops: augmentations of pairs, in place of `ops`; both of a pair get the same draws.
      start_step: of the first batch.
      process_index, process_count: this process takes its contiguous part of each batch.
      workers: batches made at the same time; None for as many as the machine has cores.

    Raises:
      ValueError: the processes cannot share the batch equally, or not in whole pairs.
      DataError: the source has not what `reads` names, or ops read; or a record cannot be read,
        which is raised when its batch's turn comes.
    """
    part = _own_part(sampler.batch_size, process_index, process_count)
    read, read_of_pairs = (dict.fromkeys((*reads, *fields_of(own))) for own in (ops, pair_ops))
    if isinstance(sampler, Mixture):
        kinds = tuple((kind, (pairs or {}).get(kind)) for kind in sampler.kinds)
        _check_mixed(source, kinds, part, (*read, *read_of_pairs))
    else:
        check_fields(source, (*read,))

    def make(step: int) -> Batch:
        rows, seeds = (values[part] for values in sampler.batch(step))
        if not isinstance(sampler, Mixture):
            return make_batch(source, rows, seeds, ops, image_size, reads=reads)
        examples: dict[int, Example] = {}
        layout = sampler.layout(step)[part]
        for number, (_, made) in enumerate(kinds):
            where = np.flatnonzero(layout == number)
            if not len(where):
                continue
            if made is None:
                own, own_ops = _read_masked(source, rows[where], (*read,)), ops
            else:
                both = made(rows[where[::2]], seeds[where[::2]], (*read_of_pairs,))
                own, own_ops = [example for pair in both for example in pair], pair_ops
            for i, example in zip(where, own, strict=True):
                examples[int(i)] = _prepared(example, image_size, own_ops, int(seeds[i]))
        return _collate(rows, examples, reads)

    names = ("image", "label", "index", *reads)
    return _in_order(source, make, range(start_step, _ENDLESS), workers, names)


def eval_batches(
    source: Source,
    *,
    batch_size: int,
    image_size: int,
    reads: Sequence[str] = (),
    process_index: int = 0,
    process_count: int = 1,
    workers: int | None = None,
) -> Generator[Batch]:
    """Every example once, over all processes; the last batch is padded with examples of weight 0.

    All processes yield equally many batches.

    Args:
      batch_size: global.
      source, image_size, reads, process_index, process_count, workers: as in `train_batches`.

    Raises:
      ValueError, DataError: as of `train_batches`.
    """
    part = _own_part(batch_size, process_index, process_count)
    batches = -(-len(source) // batch_size)
    rows = np.full(batches * batch_size, -1, np.int64)
    rows[: len(source)] = np.arange(len(source))
    parts = rows.reshape(batches, batch_size)[:, part]
    no_seeds = np.zeros(part.stop - part.start, np.uint32)

    def make(step: int) -> Batch:
        batch = make_batch(source, parts[step], no_seeds, (), image_size, reads=reads)
        return {**batch, "weight": (parts[step] >= 0).astype(np.float32)}

    names = ("image", "label", "index", "weight", *reads)
    check_fields(source, reads)
    return _in_order(source, make, range(batches), workers, names)


def make_batch(
    source: Source,
    rows: np.ndarray,
    seeds: np.ndarray,
    ops: Sequence[Op],
    image_size: int,
    *,
    reads: Sequence[str] = (),
) -> Batch:
    """Reads, fits and augments the rows of one batch; a row of -1 is padding, all zeros.

    Args:
      source: of the examples.
      rows: int64 [b].
      seeds: uint32 [b], for the ops.
      ops: augmentations, in order.
      image_size: pixels.
      reads: what the batch holds beside image, label and index.
    """
    where = np.flatnonzero(rows >= 0)
    read = tuple(dict.fromkeys((*reads, *fields_of(ops))))
    if not len(where):
        # Padding alone has shapes too, so some example has to tell how many landmarks there are.
        [example] = source.read(np.zeros(1, np.int64), reads)
        batch = _collate(rows, {0: _prepared(example, image_size)}, reads)
        return {**{k: np.zeros_like(v) for k, v in batch.items()}, "index": batch["index"]}
    examples = {
        int(i): _prepared(example, image_size, ops, int(seeds[i]))
        for i, example in zip(where, source.read(rows[where], read), strict=True)
    }
    return _collate(rows, examples, reads)


def _prepared(example: Example, size: int, ops: Sequence[Op] = (), seed: int = 0) -> Example:
    """Fitted and augmented; all frames of a clip alike, each with the clip's own seed."""
    if example.image.ndim == 3:
        return apply_ops(fit_example(example, size), ops, seed)
    frames = (dataclasses.replace(example, image=image) for image in example.image)
    images = [apply_ops(fit_example(frame, size), ops, seed).image for frame in frames]
    return dataclasses.replace(example, image=np.stack(images))


def _collate(rows: np.ndarray, examples: Mapping[int, Example], reads: Sequence[str]) -> Batch:
    """Examples by their place in the batch; the other places are zeros."""
    batch: Batch = {
        "label": np.zeros(len(rows), np.int32),
        "index": rows.astype(np.int32),
    }
    for name in ("image", *reads):
        shape = np.shape(getattr(next(iter(examples.values())), name))
        batch[name] = np.zeros((len(rows), *shape), _TYPES[name])
    for i, example in examples.items():
        batch["label"][i] = example.label
        for name in ("image", *reads):
            batch[name][i] = getattr(example, name)
    return batch


def _check_mixed(
    source: Source,
    kinds: Sequence[tuple[str, Pairs | None]],
    part: slice,
    reads: Sequence[str],
) -> None:
    missing = [kind for kind, made in kinds if made is None and kind != RECORDS]
    if missing:
        raise ValueError(f"nothing makes the pairs of {', '.join(missing)}")
    size = part.stop - part.start
    if size % 2:
        raise ValueError(f"the {size} examples of a process's part of a batch are no whole pairs")
    # Pairs have masks of their own, and a real example's is empty: fakes of records need them.
    fakes = any(made is None for _, made in kinds) and bool(np.any(source.columns["label"] == 1))
    check_fields(source, [name for name in reads if name != "mask" or fakes])


def _read_masked(source: Source, rows: np.ndarray, reads: Sequence[str]) -> list[Example]:
    """As the source reads; where it has no masks, its examples are real and get empty ones."""
    examples = source.read(rows, [name for name in reads if name in source.fields])
    if "mask" not in reads or "mask" in source.fields:
        return examples
    return [
        dataclasses.replace(example, mask=np.zeros(example.image.shape[:2], np.uint8))
        for example in examples
    ]


def _own_part(batch_size: int, process_index: int, process_count: int) -> slice:
    if batch_size % process_count:
        raise ValueError(
            f"a global batch of {batch_size} cannot be shared by {process_count} processes equally"
        )
    size = batch_size // process_count
    return slice(process_index * size, (process_index + 1) * size)


def _in_order(
    source: Source, make: MakeBatch, steps: range, workers: int | None, names: tuple[str, ...]
) -> Generator[Batch]:
    workers = workers or usable_cores()
    # The workers keep the cores busy: OpenCV's own threads would only fight them.
    cv2.setNumThreads(1)
    if isinstance(source, RecordSource):
        return _through_tf_data(make, steps, workers, names)
    return _through_threads(make, steps, workers)


def _through_threads(make: MakeBatch, steps: range, workers: int) -> Generator[Batch]:
    with ThreadPoolExecutor(workers, thread_name_prefix="batches") as pool:
        pending: deque[Any] = deque()
        try:
            for step in steps:
                pending.append(pool.submit(make, step))
                if len(pending) > workers:
                    yield pending.popleft().result()
            while pending:
                yield pending.popleft().result()
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def _through_tf_data(
    make: MakeBatch, steps: range, workers: int, names: tuple[str, ...]
) -> Generator[Batch]:
    import tensorflow as tf  # seconds to import, and array users need none of it

    types = [tf.as_dtype(_TYPES[name]) for name in names]
    failures: list[BaseException] = []

    def make_arrays(step: np.ndarray) -> list[np.ndarray]:
        try:
            batch = make(int(step))
        except Exception as error:
            failures.append(error)  # tf.data would pass on its text only, in a traceback's
            raise
        return [batch[name] for name in names]

    dataset = (
        tf.data.Dataset.range(steps.start, steps.stop)
        .map(
            lambda step: tf.numpy_function(make_arrays, [step], types),
            num_parallel_calls=workers,
            deterministic=True,
        )
        .prefetch(1)
    )
    iterator = dataset.as_numpy_iterator()
    while True:
        try:
            arrays = next(iterator)
        except StopIteration:
            return
        except tf.errors.OpError as error:
            cause = failures[0] if failures else error
            raise (cause if isinstance(cause, DataError) else DataError(str(cause))) from error
        yield dict(zip(names, arrays, strict=True))
