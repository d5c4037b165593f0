"""Scores every example of a source exactly once; `evaluate` turns scores into files for people."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh
from ml_collections import ConfigDict

from data_pipeline.pipeline import eval_batches
from data_pipeline.sources import Source
from matnet_jax.build import build_model
from matnet_jax.checkpoint import CheckpointMismatchError, Checkpoints
from matnet_jax.config import changes, validate
from matnet_jax.data import open_source
from matnet_jax.metrics import summarise
from matnet_jax.model import MAT, PlainClassifier
from matnet_jax.scores import Columns, write_metrics, write_scores
from matnet_jax.sharding import (
    batch_sharded,
    check_divisible,
    data_mesh,
    global_batch,
    replicated,
)
from matnet_jax.train_step import make_eval_step
from matnet_jax.workdir import versions

Scorer = Callable[[Mapping[str, Any], Source], tuple[Columns, float]]


def make_scorer(model: MAT | PlainClassifier, mesh: Mesh, *, batch_size: int) -> Scorer:
    """Builds the function that scores a source; it compiles once, whatever it scores.

    Args:
      model: whose `preprocess` the images get.
      mesh: devices that share a batch.
      batch_size: global, a multiple of the devices.

    Returns:
      score(variables, source) -> (columns of the source and ``score`` [N] float32, the probability
      of fake, in the source's order; mean cross entropy in nats). Every process gets all of it.
      Raises RuntimeError if an example was scored twice or not at all.
    """
    step = make_eval_step(model)

    def scores_and_rows(variables: Any, batch: dict[str, jax.Array]) -> dict[str, jax.Array]:
        out = step(variables, batch)
        return {"score": out["score"], "loss_sum": out["loss_sum"], "index": batch["index"]}

    # Replicated outputs: every process reads the whole global batch's scores, without a gather.
    jitted = jax.jit(
        scores_and_rows,
        in_shardings=(replicated(mesh), batch_sharded(mesh)),
        out_shardings=replicated(mesh),
    )

    def score(variables: Mapping[str, Any], source: Source) -> tuple[Columns, float]:
        scores = np.full(len(source), np.nan, np.float32)
        times_scored = np.zeros(len(source), np.int64)
        loss_sum = 0.0
        for host_batch in eval_batches(
            source,
            batch_size=batch_size,
            image_size=model.image_size,
            process_index=jax.process_index(),
            process_count=jax.process_count(),
        ):
            out = jax.device_get(jitted(variables, global_batch(host_batch, mesh)))
            real = out["index"] >= 0  # the others are padding
            scores[out["index"][real]] = out["score"][real]
            np.add.at(times_scored, out["index"][real], 1)
            loss_sum += float(out["loss_sum"])
        if np.any(times_scored != 1):
            row = int(np.argmax(times_scored != 1))
            raise RuntimeError(
                f"example {row} was scored {times_scored[row]} times, wanted once; this is a bug "
                "in eval_batches"
            )
        return {**source.columns, "score": scores}, loss_sum / max(len(source), 1)

    return score


def evaluate(
    config: ConfigDict,
    workdir: str | Path,
    *,
    checkpoint: str | int = "best",
    split: str = "test",
    out: str | Path | None = None,
) -> dict[str, Any]:
    """Evaluates a checkpoint and writes ``scores.csv``, ``metrics.json`` and ``report.html``.

    Args:
      config: its model and recipe must be the checkpoint's; its data may be another data set.
      workdir: of the training.
      checkpoint: ``best``, ``latest`` or a step.
      split: of the data: train, val or test.
      out: folder for the files; ``<workdir>/eval/<split>`` unless given.

    Returns:
      What ``metrics.json`` holds.

    Raises:
      ConfigError: the config cannot be run.
      CheckpointError: there is no such checkpoint, or it is of another network.
    """
    validate(config)
    workdir = Path(workdir).absolute()
    out = Path(out).absolute() if out is not None else workdir / "eval" / split
    mesh = data_mesh()
    batch_size = config.validation.batch_size
    check_divisible(batch_size, mesh.size, name="config.validation.batch_size")
    source = open_source(config, split)
    step, model, variables = load_network(config, workdir, checkpoint, mesh)
    scores, loss = make_scorer(model, mesh, batch_size=batch_size)(variables, source)
    metrics = {
        **summarise(scores),
        "loss": loss,
        "config": json.loads(config.to_json_best_effort()),
        "checkpoint": {"workdir": str(workdir), "step": step},
        "versions": versions(),
    }
    if jax.process_index() == 0:
        write_scores(out / "scores.csv", scores)
        write_metrics(out / "metrics.json", metrics)
    return metrics


def load_network(
    config: ConfigDict, workdir: Path, checkpoint: str | int, mesh: Mesh
) -> tuple[int, MAT | PlainClassifier, dict[str, Any]]:
    """Reads the network of a checkpoint, without its optimiser.

    Args:
      config: its recipe and model must be those the checkpoint was trained with.
      workdir: of the training.
      checkpoint: ``best``, ``latest`` or a step.
      mesh: all of its devices get the variables.

    Returns:
      The checkpoint's step, the model, and what its `apply` takes; averaged parameters where the
      training kept them.

    Raises:
      CheckpointError: there is no such checkpoint, or it is of another network.
    """
    with Checkpoints(workdir / "checkpoints", read_only=True) as checkpoints:
        step = checkpoints.resolve(checkpoint)
        trained = checkpoints.metadata(step)["config"]
        differences = changes(
            {name: trained[name] for name in ("recipe", "model")},
            {"recipe": config.recipe, "model": config.model},
        )
        if differences:
            raise CheckpointMismatchError(
                f"the checkpoint {checkpoints.directory / str(step)} is of another network "
                "(before: its training, now: --config):\n  " + "\n  ".join(differences.values())
            )
        model = build_model(config)
        size = model.image_size
        images = jax.ShapeDtypeStruct((1, size, size, 3), jnp.float32)
        shapes = jax.eval_shape(lambda x: model.init(jax.random.key(0), x), images)
        has_average = trained["train"]["ema_decay"] is not None
        abstract = {"feature_centers": {}, **shapes}
        abstract["ema_params"] = shapes["params"] if has_average else None
        abstract = jax.tree.map(
            lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=replicated(mesh)), abstract
        )
        variables = checkpoints.restore_model(step, abstract)
    average = variables.pop("ema_params")
    return step, model, variables | ({"params": average} if has_average else {})
