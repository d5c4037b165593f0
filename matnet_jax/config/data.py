"""Data sources and batches by config: where training and evaluation meet `data_pipeline`."""

import json
from collections.abc import Generator, Mapping
from typing import Any

import jax
import numpy as np
from ml_collections import ConfigDict

from data_pipeline.training.blend import CHANGES, PAIRS, BlendedSource, PairOp, Pairs
from data_pipeline.training.blend.pairs import VALIDATION_MARGIN
from data_pipeline.training.clips import ClipSource
from data_pipeline.training.joined import Joined
from data_pipeline.training.mixture import RECORDS, Mixture, Share
from data_pipeline.training.narrow import Narrowed
from data_pipeline.training.ops import PRESETS
from data_pipeline.training.pipeline import train_batches
from data_pipeline.training.sampler import Sampler
from data_pipeline.training.sources import (
    VIDEO_COLUMNS,
    DataError,
    RecordSource,
    Source,
    find_build,
)
from matnet_jax.config.build import fields_read
from matnet_jax.detectors.durations import duration_in_steps


def open_source(config: ConfigDict, split: str, image_size: int, clip_length: int = 1) -> Source:
    """The examples of a split: train, val or test.

    Those of val are pairs where ``config.validation.fakes`` says so.

    Args:
      config: its `data` fields say where they are.
      split: train, val or test.
      image_size: in pixels, at which the embedded data set is drawn, and to which
        ``config.data.crop_margin`` cuts; else records have their own.
      clip_length: frames of an example; clips of train start at any frame, those of val and test
        one after the other.

    Raises:
      DataError: the records are not there, have no such split, not what pairs are made of, or
        cannot be cut by ``config.data.crop_margin``; or there are to be clips and pairs.
    """
    _refuse_pairs_of_clips(config, clip_length)
    wide = _open(config, split, image_size)
    source = _cropped(wide, config, image_size)
    fakes = config.validation.get("fakes", RECORDS)  # older checkpoints' configs have none
    if split != "val" or fakes == RECORDS:
        return _clips(source, clip_length, every=1 if split == "train" else clip_length)
    margin = config.data.crop_margin
    return BlendedSource(
        wide,
        pair_op(config, fakes, image_size),
        name=fakes,
        seed=config.seed,
        margin=VALIDATION_MARGIN if margin is None else (margin - 1) / 2,
        crop_protocol=source.crop_protocol,
    )


def _clips(source: Source, length: int, *, every: int) -> Source:
    return source if length == 1 else ClipSource(source, length, every=every)


def _refuse_pairs_of_clips(config: ConfigDict, length: int) -> None:
    if length == 1:
        return
    asked = {
        "data.mixture": (mixture_shares(config), "()"),
        "validation.fakes": (config.validation.fakes != RECORDS, f"'{RECORDS}'"),
    }
    for field, (is_set, plain) in asked.items():
        if is_set:
            raise DataError(
                f"config.{field} makes pairs of single faces, and config.model.clip_length="
                f"{length} wants clips of records: set config.{field}={plain}, or clip_length=1"
            )


def pair_op(config: ConfigDict, kind: str, image_size: int) -> PairOp:
    """What makes pairs of a kind of `PAIRS`, by its section of the config and those of `CHANGES`.

    Raises:
      ValueError: options that do not go together.
    """
    changes = {name: pair_change(config, name) for name in CHANGES}
    op: PairOp = PAIRS[kind](size=image_size, **changes, **_options(config, kind))
    return op


def pair_change(config: ConfigDict, name: str) -> Any:
    """What changes both of a pair alike, one of `CHANGES`, by its section of the config.

    Raises:
      ValueError: options that do not go together.
    """
    return CHANGES[name](**_options(config, name))


def _options(config: ConfigDict, section: str) -> dict[str, Any]:
    """A section's fields; none where an older config has no such section."""
    return {
        name: tuple(value) if isinstance(value, list) else value
        for name, value in config.get(section, {}).items()
    }


def _open(config: ConfigDict, split: str, image_size: int) -> Source:
    if config.data.source == "synthetic":
        from data_pipeline.synthetic import synthetic_source  # not needed for records

        return synthetic_source(
            split,
            seed=config.data.synthetic_seed,
            image_size=image_size,
            num_identities=config.data.synthetic_identities,
        )
    return RecordSource(config.data.dir, split)


def _cropped(source: Source, config: ConfigDict, image_size: int) -> Source:
    """As the network sees it, by ``config.data.crop_margin``."""
    margin = config.data.get("crop_margin")  # older checkpoints' configs have none
    return source if margin is None else Narrowed(source, margin=margin, size=image_size)


def open_evaluation(
    config: ConfigDict, split: str, image_size: int, clip_length: int = 1
) -> Source:
    """What an evaluation scores: `open_source`'s, or ``config.eval.data_dirs`` together.

    Raises:
      DataError: as of `open_source`, or faces that were cut in different ways.
    """
    if config.data.source != "records" or not config.eval.data_dirs:
        return open_source(config, split, image_size, clip_length)
    sources = [
        _cropped(RecordSource(folder, split), config, image_size)
        for folder in config.eval.data_dirs
    ]
    joined = Joined(sources, check_crops=config.data.check_crops)
    return _clips(joined, clip_length, every=clip_length)


def read_coverage(config: ConfigDict, split: str) -> dict[str, Any] | None:
    """The videos of a split in which no face was found, for `metrics.summarise`.

    They have no scores, and leaving them out would flatter a detector. None where nothing is known:
    the embedded data set, or records without ``coverage.json`` two folders above them.
    """
    if config.data.source != "records":
        return None
    without_face = []
    for folder in config.eval.data_dirs or (config.data.dir,):
        path = find_build(folder).parents[1] / "coverage.json"
        if not path.is_file():
            return None
        without_face += json.loads(path.read_text(encoding="utf-8"))["without_face"]
    return {"without_face": [video for video in without_face if video["split"] == split]}


def build_sampler(config: ConfigDict, source: Source) -> Sampler | Mixture:
    """The order of examples, a pure function of seed and step."""
    shares = mixture_shares(config)
    videos = _videos(source.columns) if config.data.frames_per_video else None
    records = None
    if not shares or RECORDS in shares:
        records = Sampler(
            source.columns["label"],
            batch_size=config.train.batch_size,
            seed=config.seed,
            real_repeat=config.data.real_repeat,
            balance=config.data.balance,
            sources=_sources(source.columns) if config.data.balance == "source" else None,
            groups=source.columns["subset"],
            group_weights=group_weights(config),
            videos=videos,
            frames_per_video=config.data.frames_per_video,
        )
        if not shares:
            return records
    return Mixture(
        shares,
        over=lambda steps_per_epoch: duration_in_steps(
            config.data.mixture_over,
            steps_per_epoch=steps_per_epoch,
            batch_size=config.train.batch_size,
        ),
        batch_size=config.train.batch_size,
        seed=config.seed,
        records=records,
        labels=source.columns["label"],
        videos=videos,
        frames_per_video=config.data.frames_per_video,
    )


def mixture_shares(config: ConfigDict) -> dict[str, Share]:
    """Kind -> its share of a batch, of ``config.data.mixture``; of records alone, none."""
    return dict(Share.parse(text) for text in config.data.mixture)


def examples_together(config: ConfigDict) -> int:
    """How many examples of a batch stay together: 2 where there are pairs, or both classes."""
    return 2 if config.data.mixture or config.data.balance != "repeat" else 1


def group_weights(config: ConfigDict) -> dict[str, float]:
    """Subset -> times that its examples are in an epoch, of ``config.data.group_weights``."""
    pairs = (text.rpartition("=") for text in config.data.group_weights)
    return {subset: float(weight) for subset, _, weight in pairs}


def _videos(columns: Mapping[str, np.ndarray]) -> np.ndarray:
    """One text a video: its identity."""
    return _joined(columns, *VIDEO_COLUMNS)


def _sources(columns: Mapping[str, np.ndarray]) -> np.ndarray:
    """One text for what videos were made of."""
    return _joined(columns, "dataset", "source_id")


def _joined(columns: Mapping[str, np.ndarray], *names: str) -> np.ndarray:
    return np.array(["/".join(row) for row in zip(*(columns[n] for n in names), strict=True)])


def training_batches(
    config: ConfigDict,
    source: Source,
    sampler: Sampler | Mixture,
    image_size: int,
    start_step: int,
) -> Generator[dict[str, np.ndarray]]:
    """This process's part of each batch from `start_step` on, augmented by ``config.data.ops``.

    Beside image and label it holds what the family of ``config.model.name`` reads. Pairs are made
    of crops as they were prepared, of which they are cut themselves.
    """
    wide = source.wide if isinstance(source, Narrowed) else source
    return train_batches(
        source,
        sampler,
        ops=PRESETS[config.data.ops],
        image_size=image_size,
        reads=fields_read(config),
        pairs={
            kind: Pairs(wide, pair_op(config, kind, image_size), kind)
            for kind in mixture_shares(config)
            if kind != RECORDS
        },
        pair_ops=PRESETS[config.data.pair_ops],
        start_step=start_step,
        process_index=jax.process_index(),
        process_count=jax.process_count(),
    )
