"""`probe(config, …)`: fits a line through frozen features, and evaluates it like a detector."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from ml_collections import ConfigDict

from data_pipeline.training.joined import Rows
from data_pipeline.training.sources import Source
from matnet_jax.checkpoints.crops import check_crops, crops_of
from matnet_jax.checkpoints.network import check_empty, save_network
from matnet_jax.config.build import build_model
from matnet_jax.config.check import validate
from matnet_jax.config.data import open_evaluation, open_source, read_coverage
from matnet_jax.detectors.base import Detector
from matnet_jax.detectors.variables import init_variables
from matnet_jax.evaluation.attributes import read_attributes
from matnet_jax.evaluation.probe.features import STATISTICS, features_of, statistics_of
from matnet_jax.evaluation.probe.folds import cross_validated
from matnet_jax.evaluation.probe.linear import CLASSIFIERS, LinearProbe, fit_probe
from matnet_jax.evaluation.probe.save import check_scores, with_line
from matnet_jax.evaluation.run import NothingToScoreError, fits_on_validation, protocol_arguments
from matnet_jax.metrics import summarise
from matnet_jax.metrics.gate import PERSON
from matnet_jax.metrics.scores import PERSON_COLUMN, write_metrics, write_scores
from matnet_jax.metrics.videos import group_videos
from matnet_jax.pretrained import initialize, read_weights
from matnet_jax.pretrained.convert import with_fields
from matnet_jax.pretrained.trained import load_trained
from matnet_jax.report.render import write_report
from matnet_jax.runtime.workdir import versions

FEATURES = ("network", *STATISTICS)


def probe(
    config: ConfigDict,
    out: str | Path,
    *,
    features: str = "network",
    classifier: str = "logistic",
    workdir: str | Path | None = None,
    checkpoint: str | int = "best",
    weights: str | Path | None = None,
    split: str = "test",
    frames_per_video: int | None = 8,
    folds: int | None = None,
    save: str | Path | None = None,
) -> dict[str, Any]:
    """Fits on the split train, chooses the penalty on val, and evaluates on `split`.

    With `folds` it fits on `split` too, without the people that are scored (`cross_validated`).

    Writes ``scores.csv``, ``report.html`` and, last, ``metrics.json``, as `evaluate` does.

    Args:
      config: says where the data are, and, without `workdir`, what the network is.
      out: folder for the files.
      features: "network", or of `STATISTICS`: figures of the image, without a network.
      classifier: of `CLASSIFIERS`: logistic, or svm.
      workdir: of a training; its checkpoint is the network.
      checkpoint: of the workdir: best, latest or a step.
      weights: a file of weights for the config's network, in place of a workdir; without either,
        those of ``config.init``, or initial values by ``config.seed``.
      split: val or test.
      frames_per_video: of train and val, spread evenly; None for all. Of `split` all are scored.
      folds: parts that the people of `split` are divided into, by their sources, or by ``person``
        where ``config.eval.attributes`` has it; None: train and val are there.
      save: a workdir without checkpoints, which gets the network with the line as its last dense
        layer: as if it had been trained so.

    Returns:
      What ``metrics.json`` holds: as `evaluate`'s, and `probe`.

    Raises:
      ConfigError: the config cannot be run.
      NothingToScoreError: a split is empty.
      ValueError: unknown features, or a split of one class; see `fit_probe`, `cross_validated`.
      LineMismatchError: the network's score is more than a line, and cannot be saved as one.
      FileExistsError: `save` has checkpoints already.
    """
    for said, given, known in (
        ("features are", features, FEATURES),
        ("the classifier is", classifier, tuple(CLASSIFIERS)),
    ):
        if given not in known:
            raise ValueError(f"{said} {given!r}, wanted one of {', '.join(known)}")
    if save is not None:
        if features != "network" or workdir is not None or folds is not None:
            raise ValueError(
                "a line is saved with a network of the config or of a file of weights; folds have "
                "no such line"
            )
        check_empty(save)
    config, out = validate(config), Path(out).absolute()
    if folds and fits_on_validation(config):
        raise ValueError("config.eval asks for what is fitted on val, which folds do without")
    sees = build_model(config)
    size, length = sees.image_size, sees.clip_length
    target = open_evaluation(config, split, size, length)
    fitting = {} if folds else {n: open_source(config, n, size, length) for n in ("train", "val")}
    for name, source in {**fitting, split: target}.items():
        if not len(source):
            raise NothingToScoreError(f"the split {name!r} of {config.data.dir} has no faces")
    attributes = None
    if config.eval.attributes:
        attributes = read_attributes(config.eval.attributes, target.columns)
    network = None
    if features == "network":
        network = _network(config, workdir, checkpoint, weights, fitting.get("train", target))
    extract, about = _extractor(config, features, network)
    of_target = extract(target)
    validation = None
    if folds:
        # Of people of whom there are several photos, attributes may tell more than sources do.
        columns = dict(target.columns)
        if attributes is not None and PERSON in attributes:
            person = attributes[PERSON]
            columns[PERSON_COLUMN] = np.where(person == "", columns[PERSON_COLUMN], person)
        score = cross_validated(of_target, columns, folds=folds, classifier=classifier)
        how: dict[str, Any] = {"folds": folds, "c": 1.0}
    else:
        train, val = (some_frames(source, frames_per_video) for source in fitting.values())
        of_train, of_val = extract(train), extract(val)
        fitted = fit_probe(
            of_train,
            train.columns["label"],
            of_val,
            val.columns,
            classifier=classifier,
            aggregation=config.eval.aggregation,
            top_k=config.eval.top_k,
        )
        score = fitted.score(of_target)
        validation = {**val.columns, "score": fitted.score(of_val)}
        how = {
            "c": fitted.c,
            "validation_video_auc": {f"{c:g}": auc for c, auc in fitted.validation_auc.items()},
            "train_faces": len(of_train),
            "val_faces": len(of_val),
            "frames_per_video": frames_per_video,
        }
        if save is not None and network is not None:
            _save(save, network, fitted, val, validation["score"])
    scores = {**target.columns, "score": score}
    metrics = {
        **summarise(
            scores,
            **protocol_arguments(config),
            validation=validation if fits_on_validation(config) else None,
            attributes=attributes,
            coverage=read_coverage(config, split),
        ),
        "probe": {
            "features": features,
            "classifier": classifier,
            "dimensions": int(of_target.shape[1]),
            **how,
            **about,
        },
        "config": json.loads(config.to_json_best_effort()),
        "versions": versions(),
    }
    (out / "metrics.json").unlink(missing_ok=True)  # written last: with it all else is there
    write_scores(out / "scores.csv", scores)
    write_report(
        out / "report.html",
        title=f"Linear probe of {about['of']}: {split}",
        metrics=metrics,
        scores=scores,
    )
    write_metrics(out / "metrics.json", metrics)
    return metrics


def some_frames(source: Source, count: int | None) -> Source:
    """A source of at most `count` faces a video, spread evenly over it."""
    if count is None:
        return source
    first_row, row_video = group_videos(source.columns)
    order = np.argsort(row_video, kind="stable")
    videos = np.split(order, np.cumsum(np.bincount(row_video, minlength=len(first_row)))[:-1])
    chosen = [
        rows[np.linspace(0, len(rows) - 1, min(count, len(rows))).round().astype(int)]
        for rows in videos
    ]
    return Rows(source, np.sort(np.concatenate(chosen)))


class _Network(NamedTuple):
    config: ConfigDict
    model: Detector
    variables: dict[str, Any]
    about: dict[str, Any]


def _extractor(
    config: ConfigDict, features: str, network: _Network | None
) -> tuple[Callable[[Source], np.ndarray], dict[str, Any]]:
    """Source -> features [N, D]; and what they are of, as JSON values."""
    if network is None:
        return lambda source: statistics_of(source, features), {"of": f"image {features}"}
    _, model, variables, about = network
    batch_size = config.validation.batch_size
    return lambda source: features_of(source, model, variables, batch_size=batch_size), about


def _save(
    workdir: str | Path, network: _Network, fitted: LinearProbe, val: Source, scores: np.ndarray
) -> None:
    config, model, variables, about = network
    variables = with_line(model, variables, fitted.line)
    check_scores(model, variables, val, scores, batch_size=config.validation.batch_size)
    crops = None if val.crop_protocol is None else val.crop_protocol.as_json()
    metadata = {"crops": crops, "versions": versions(), "probe": about}
    metrics = {"video_auc": fitted.validation_auc[fitted.c]}
    save_network(workdir, config, model, variables, metadata=metadata, metrics=metrics)


def _network(
    config: ConfigDict,
    workdir: str | Path | None,
    checkpoint: str | int,
    weights: str | Path | None,
    train: Source,
) -> _Network:
    if workdir is not None and weights is not None:
        raise ValueError("there are a workdir and a file of weights: give one of them")
    if workdir is not None:
        trained = load_trained(workdir, checkpoint)
        if config.data.check_crops:
            check_crops(
                crops_of(trained.metadata),
                train.crop_protocol,
                network=f"the network in {workdir}",
                faces=f"those in {config.data.dir}",
            )
        about = {"of": trained.model.description, "workdir": str(workdir), "step": trained.step}
        return _Network(config, trained.model, trained.variables, about)
    path = weights or config.init.path
    if path:
        read = read_weights(path, sha256=None if weights else config.init.sha256 or None)
        config = with_fields(config, read)
        model = build_model(config)
        about = {"of": model.description, "weights": str(path)}
        return _Network(config, model, initialize(model, read, seed=config.seed), about)
    model = build_model(config)
    about = {"of": model.description, "weights": f"initial values, seed {config.seed}"}
    return _Network(config, model, init_variables(model, config.seed), about)
