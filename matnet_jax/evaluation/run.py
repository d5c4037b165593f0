"""Evaluation: `evaluate(config, workdir)` scores a split and writes what people read."""

import json
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np
from ml_collections import ConfigDict

from data_pipeline.training.disturb import DISTURBANCES
from matnet_jax.checkpoints.crops import check_crops, crops_of
from matnet_jax.checkpoints.operating_point import write_operating_point
from matnet_jax.config.build import build_model
from matnet_jax.config.check import validate
from matnet_jax.config.data import open_evaluation, open_source, read_coverage
from matnet_jax.detectors.registry import family
from matnet_jax.evaluation.attributes import read_attributes
from matnet_jax.evaluation.engines import Run, converted_engine
from matnet_jax.evaluation.robustness import measure_robustness
from matnet_jax.evaluation.scorer import Scorer, sample_rows
from matnet_jax.metrics import OperatingPoint, most_wrong_videos, summarise, video_scores
from matnet_jax.metrics.history import read_history
from matnet_jax.metrics.scores import Columns, write_metrics, write_scores
from matnet_jax.metrics.videos import VIDEO_IDENTITY
from matnet_jax.pretrained.trained import load_trained
from matnet_jax.report.model_card import write_model_card
from matnet_jax.report.overlays import statistics
from matnet_jax.report.render import write_report
from matnet_jax.runtime.sharding import check_divisible, data_mesh, replicate
from matnet_jax.runtime.workdir import versions


class NothingToScoreError(ValueError):
    """The split has no faces."""


def evaluate(
    config: ConfigDict,
    workdir: str | Path,
    *,
    checkpoint: str | int = "best",
    split: str = "test",
    out: str | Path | None = None,
    engine: str = "auto",
) -> dict[str, Any]:
    """Evaluates a checkpoint and writes what people read.

    ``scores.csv``, ``report.html``, ``model-card.md``, and, once these are there, ``metrics.json``;
    and the operating point into the workdir, where one is fitted.

    Args:
      config: its recipe and model must be the checkpoint's; its data may be another data set.
      workdir: of the training.
      checkpoint: ``best``, ``latest`` or a step.
      split: of the data: train, val or test.
      out: folder for the files; ``<workdir>/eval/<split>`` unless given.
      engine: what computes the scores, one of `engines.ENGINES`: ``auto`` is the fastest here.

    Returns:
      What ``metrics.json`` holds; a metric that is undefined, for want of a class, is None.

    Raises:
      ConfigError: the config cannot be run.
      CheckpointError: there is no such checkpoint, or it is of another network.
      NothingToScoreError: the split is empty.
      ModuleNotFoundError, UnsupportedError, ValueError: there is no such engine, it is not
        installed, or it cannot take the network.
    """
    config = validate(config)
    workdir = Path(workdir).absolute()
    out = Path(out).absolute() if out is not None else workdir / "eval" / split
    mesh = data_mesh()
    batch_size = config.validation.batch_size
    check_divisible(batch_size, mesh.size, name="config.validation.batch_size")
    sees = build_model(config)
    size, length = sees.image_size, sees.clip_length
    source = open_evaluation(config, split, size, length)
    if not len(source):
        raise NothingToScoreError(f"the split {split!r} of {config.data.dir} has no faces to score")
    trained = load_trained(workdir, checkpoint, expected=config)
    model, step = trained.model, trained.step
    if config.data.check_crops:
        check_crops(
            crops_of(trained.metadata),
            source.crop_protocol,
            network=f"the network in {workdir}",
            faces=f"those in {', '.join(config.eval.data_dirs) or config.data.dir}",
        )
    run: Run | None = None
    variables: dict[str, Any] = {}
    made = converted_engine(trained, engine, batch_size=batch_size)
    if isinstance(made, str):
        engine, variables = made, replicate(trained.variables, mesh)
    else:
        engine, run = made.name, made.run
    attributes = None  # read first: a wrong file is said before anything is scored
    if config.eval.attributes:
        attributes = read_attributes(config.eval.attributes, source.columns)
    scorer = Scorer(model, mesh, batch_size=batch_size, run=run)
    scores, loss = scorer.score(variables, source)
    protocol = config.eval
    validation = None
    if fits_on_validation(config):
        validation, _ = scorer.score(variables, open_source(config, "val", size, length))
    if attributes is not None:
        attributes = {name: column[scores["row"]] for name, column in attributes.items()}
    overlays = scorer.overlays(variables, source, sample_rows(source.columns))
    metrics = {
        **summarise(
            scores,
            **protocol_arguments(config),
            validation=validation,
            attributes=attributes,
            coverage=read_coverage(config, split),
        ),
        "loss": loss,
        "network": {
            "description": model.description,
            "image_size": model.image_size,
            "clip_length": model.clip_length,
            "engine": engine,
            "provenance": family(config.model.name).provenance,
        },
        "attention": {row["faces"]: row for row in statistics(overlays)},
        "config": json.loads(config.to_json_best_effort()),
        "checkpoint": {"workdir": str(workdir), "step": step, "chosen": str(checkpoint)},
        "versions": versions(),
    }
    if protocol.robustness:
        names = list(DISTURBANCES) if "all" in protocol.robustness else protocol.robustness
        metrics["robustness"] = measure_robustness(
            lambda disturbed: scorer.score(variables, disturbed)[0],
            source,
            names,
            aggregation=protocol.aggregation,
            top_k=protocol.top_k,
            kept=out / "robustness.json",
            identity={
                **metrics["checkpoint"],
                "split": split,
                "data": json.loads(config.data.to_json_best_effort()),
                "data_dirs": list(protocol.data_dirs),
                "protocol": metrics["protocol"],
            },
        )
    most_wrong = scorer.overlays(
        variables, source, most_wrong_rows(scores, protocol.aggregation, protocol.top_k)
    )
    if jax.process_index() == 0:
        (out / "metrics.json").unlink(missing_ok=True)  # written last: with it all else is there
        keep_operating_point(metrics, workdir, step=step)
        write_scores(out / "scores.csv", scores)
        write_report(
            out / "report.html",
            title=f"{workdir.name}: {split}",
            metrics=metrics,
            scores=scores,
            history=read_history(workdir / "metrics.csv"),
            overlays=overlays,
            most_wrong=most_wrong,
        )
        write_model_card(
            out / "model-card.md",
            title=workdir.name,
            split=split,
            training=training_data(workdir, config),
            metrics=metrics,
            scores=scores,
        )
        write_metrics(out / "metrics.json", metrics)
    return metrics


def fits_on_validation(config: ConfigDict) -> bool:
    """Whether an evaluation needs the scores of the split val."""
    protocol = config.eval
    wanted = (protocol.false_alarm_rate, protocol.max_risk)
    return protocol.fit_on_validation or any(value is not None for value in wanted)


def protocol_arguments(config: ConfigDict) -> dict[str, Any]:
    """What ``config.eval`` asks of `summarise`."""
    names = ["aggregation", "top_k", "threshold", "log_loss_epsilon", "num_resamples", "resample"]
    names += ["false_alarm_rate", "max_risk"]
    where = "the embedded data set" if config.data.source == "synthetic" else config.data.dir
    return {
        **{name: config.eval[name] for name in names},
        "validation_name": f"split val of {where}",
    }


def keep_operating_point(metrics: Mapping[str, Any], workdir: Path, *, step: int) -> None:
    """Writes the operating point of `metrics`, if one was fitted, for prediction."""
    if metrics.get("operating_point") is None:
        return
    point = OperatingPoint.from_json(metrics["operating_point"])
    if point.note:
        warnings.warn(point.note, stacklevel=2)
    write_operating_point(workdir, point, step=step)


def training_data(workdir: Path, config: ConfigDict) -> str:
    """What a workdir was trained on, in words; as `config` says where the workdir does not."""
    path = workdir / "config.json"
    own = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else config.to_dict()
    data, start = own["data"], own["init"]["path"]
    drawn = data["source"] == "synthetic"
    text = "the embedded data set, drawn faces" if drawn else f"the records in {data['dir']}"
    if mixture := data.get("mixture"):  # older configs have none
        text += f", in shares {', '.join(mixture)}"
    return text + (f", from {'' if drawn else 'the weights '}{start}" if start else "")


def most_wrong_rows(scores: Columns, aggregation: str, top_k: int) -> np.ndarray:
    """For each of the videos that are most wrong, the source's row of its most wrong face."""
    wrong = most_wrong_videos(video_scores(scores, aggregation=aggregation, top_k=top_k))
    error = np.abs(scores["score"] - scores["label"])
    rows = []
    for i in range(len(wrong["label"])):
        own = np.ones(len(error), bool)
        for name in VIDEO_IDENTITY:
            own &= scores[name] == wrong[name][i]
        rows.append(int(scores["row"][np.argmax(np.where(own, error, -1))]))
    return np.array(rows, np.int64)
