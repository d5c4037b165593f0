"""A fitted line as a network: the last dense layer of a frozen one, that all commands then take."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import traverse_util

from data_pipeline.training.pipeline import eval_batches
from data_pipeline.training.sources import Source
from matnet_jax.detectors.base import Detector
from matnet_jax.detectors.inference import infer
from matnet_jax.evaluation.probe.features import dense_layers
from matnet_jax.evaluation.probe.linear import Line

_TOLERANCE = 0.01  # of P(fake), for networks that compute in bfloat16


class LineMismatchError(ValueError):
    """A network's score is not a line through the features that the probe took of it."""


def with_line(model: Detector, variables: Mapping[str, Any], line: Line) -> dict[str, Any]:
    """The network's variables with the line as its last dense layer, of logits real and fake.

    Raises:
      LineMismatchError: there is no such layer, or it is not given the line's features.
    """
    images = jax.ShapeDtypeStruct((1, *model.input_shape), jnp.float32)
    paths: list[tuple[str, ...]] = []

    def run(x: jax.Array) -> None:
        calls = dense_layers(lambda: model.apply(variables, x, train=False))
        paths.extend(path for path, _ in calls)

    jax.eval_shape(run, images)
    flat = traverse_util.flatten_dict(dict(variables))
    kernel, bias = (("params", *(paths[-1] if paths else ()), n) for n in ("kernel", "bias"))
    shape = np.shape(flat[kernel]) if kernel in flat else None
    wanted = (len(line.weights), 2)
    if shape != wanted or bias not in flat:
        raise LineMismatchError(
            f"{model.description} ends in no dense layer of kernel {list(wanted)} "
            f"({'none at all' if shape is None else f'its last one has {list(shape)}'}), so that "
            "the line cannot take its place: leave out --save, or probe a plain classifier"
        )
    flat[kernel] = np.stack([np.zeros_like(line.weights), line.weights], 1).astype(np.float32)
    flat[bias] = np.array([0.0, line.bias], np.float32)
    return dict(traverse_util.unflatten_dict(flat))


def check_scores(
    model: Detector,
    variables: Mapping[str, Any],
    source: Source,
    scores: np.ndarray,
    *,
    batch_size: int,
) -> None:
    """Runs the network on the first faces of a source, which the probe scored.

    Args:
      model: of any family.
      variables: of `with_line`.
      source: of faces.
      scores: P(fake) by the probe, [N].
      batch_size: so many faces are compared.

    Raises:
      LineMismatchError: it says otherwise than the probe.
    """
    step = jax.jit(lambda v, x: infer(model, v, model.preprocess.normalize(x)).score)
    batch = next(iter(eval_batches(source, batch_size=batch_size, image_size=model.image_size)))
    found = np.asarray(step(variables, jnp.asarray(batch["image"])))[batch["index"] >= 0]
    apart = float(np.max(np.abs(found - scores[: len(found)])))
    if not apart <= _TOLERANCE:
        raise LineMismatchError(
            f"{model.description} with the line as its last dense layer says P(fake) that is up to "
            f"{apart:.3g} from the probe's: its score is made of more than that layer. Leave out "
            "--save, or probe a plain classifier"
        )
