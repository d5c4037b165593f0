"""Pairs of a real and a fake a second on one core: against augmenting two images, and in batches.

    python -m benchmarks.blend [--kind=self_blended|face_xray|fwa] [--broad] [--images=DIR]
        [--landmarks=yunet|face_mesh] [--image_size=380]

With --images, faces are found in the first images of a folder; without, they are drawn, with 5
landmarks each. Reading and finding are not timed. A donor is the next face. Seconds are the
processor's, so that others' load counts little.
"""

from __future__ import annotations

import functools
import os
import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import cv2
import numpy as np
from absl import app, flags

from benchmarks.lines import cores, emit
from data_pipeline.landmarks.find import FINDERS, landmark_finder
from data_pipeline.synthetic import synthetic_source
from data_pipeline.training.blend import PAIRS, PairOp, Pairs
from data_pipeline.training.blend.broad import broad_op
from data_pipeline.training.blend.sheet import image_files, read_faces
from data_pipeline.training.example import Example
from data_pipeline.training.mixture import Mixture, Share
from data_pipeline.training.ops import PRESETS, apply_ops, fit_example
from data_pipeline.training.pipeline import train_batches
from data_pipeline.training.sources import ArraySource

_KIND = flags.DEFINE_enum("kind", "self_blended", list(PAIRS), "Of fakes.")
_BROAD = flags.DEFINE_bool("broad", False, "With the options of `blend.broad.BROAD`.")
_IMAGES = flags.DEFINE_string("images", None, "Folder with images of faces.")
_LANDMARKS = flags.DEFINE_enum("landmarks", "yunet", list(FINDERS), "With --images.")
_DETECTOR_WEIGHTS = flags.DEFINE_string("detector_weights", None, "YuNet's file, with --images.")
_LANDMARK_WEIGHTS = flags.DEFINE_string("landmark_weights", None, "The mesh's, with --images.")
_SIZE = flags.DEFINE_integer("image_size", 380, "Pixels of the pairs, and of faces drawn here.")
_COUNT = flags.DEFINE_integer("num", 100, "Faces.")


def examples() -> list[Example]:
    """Real ones with landmarks."""
    if _IMAGES.value:
        given = (_DETECTOR_WEIGHTS.value, _LANDMARK_WEIGHTS.value)
        find = landmark_finder(_LANDMARKS.value, *(Path(path) if path else None for path in given))
        found = []
        for _, image, landmarks in read_faces(image_files(Path(_IMAGES.value)), find):
            found.append(Example(image, 0, landmarks))
            if len(found) == _COUNT.value:
                break
        return found
    drawn = synthetic_source("test", seed=0, image_size=_SIZE.value, num_identities=20)
    real = np.flatnonzero(drawn.columns["label"] == 0)[: _COUNT.value]
    return drawn.read(real, ("landmarks",))


def rate(made_of: Sequence[Example], make: Callable[[Example, int], object]) -> float:
    """Calls a second: the median of three rounds, after a few to warm up."""
    for i, example in enumerate(made_of[:4]):
        make(example, i)
    rounds = []
    for _ in range(3):
        start = time.process_time()
        for i, example in enumerate(made_of):
            make(example, i)
        rounds.append(len(made_of) / (time.process_time() - start))
    return statistics.median(rounds)


def batch_rate(fitted: Sequence[Example], op: PairOp, kind: str, batch_size: int = 32) -> float:
    """Pairs a second in batches, as training gets them: the median of three rounds."""
    landmarks = np.stack([np.asarray(example.landmarks, np.float32) for example in fitted])
    source = ArraySource(
        np.stack([example.image for example in fitted]),
        {"label": np.zeros(len(fitted), np.int32)},
        landmarks=landmarks,
    )
    mixture = Mixture(
        {kind: Share(1, 1)},
        batch_size=batch_size,
        seed=0,
        records=None,
        labels=source.columns["label"],
    )
    batches = train_batches(
        source,
        mixture,
        ops=(),
        image_size=op.size,
        pairs={kind: Pairs(source, op, kind)},
        workers=1,
    )
    for _ in range(3):
        next(batches)
    rounds = []
    for _ in range(3):
        start = time.process_time()
        for _ in range(8):
            next(batches)
        rounds.append(8 * batch_size / 2 / (time.process_time() - start))
    batches.close()
    return statistics.median(rounds)


def main(_: list[str]) -> None:
    """Runs the command."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    made_of = examples()
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:1])
    cv2.setNumThreads(1)
    kind = _KIND.value
    make: Callable[..., PairOp] = functools.partial(broad_op, kind) if _BROAD.value else PAIRS[kind]
    op = make(size=_SIZE.value, outline="five")  # whatever landmarks they are
    donors = [*made_of[1:], made_of[0]]
    pairs = rate(made_of, lambda e, i: op.pair(e, np.random.default_rng(i), donors[i]))
    fitted = [fit_example(example, _SIZE.value) for example in made_of]
    plain = [Example(example.image, 0) for example in fitted]
    images = rate(plain, lambda example, i: apply_ops(example, PRESETS["standard"], i))
    emit(
        "blend",
        pairs,
        "pairs/s a core",
        ratio=pairs / (images / 2),
        reference="two images through the standard augmentation",
        kind=kind,
        broad=_BROAD.value,
        image_size=_SIZE.value,
        landmarks=len(np.asarray(made_of[0].landmarks)),
        source_size=statistics.median(max(e.image.shape[:2]) for e in made_of),
        faces=len(made_of),
        device=cores(1),
    )
    donors = [*fitted[1:], fitted[0]]
    alone = rate(fitted, lambda e, i: op.pair(e, np.random.default_rng(i), donors[i]))
    batched = batch_rate(fitted, op, kind)
    emit(
        "blend_batches",
        batched,
        "pairs/s a core",
        ratio=batched / alone,
        reference="the same pairs outside of batches",
        image_size=_SIZE.value,
        faces=len(made_of),
        device=cores(1),
    )


if __name__ == "__main__":
    app.run(main)
