"""From a data source to scores of its examples, on all devices of all processes."""

from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from data_pipeline.training.clips import ClipSource, frames_of
from data_pipeline.training.joined import Rows
from data_pipeline.training.pipeline import Batch, eval_batches
from data_pipeline.training.sources import Source
from matnet_jax.detectors.base import Detector
from matnet_jax.evaluation.engines import Run
from matnet_jax.evaluation.step import loss_sum, make_eval_step
from matnet_jax.metrics.scores import Columns
from matnet_jax.metrics.videos import VIDEO_IDENTITY
from matnet_jax.report.overlays import Overlay, joined_heatmaps
from matnet_jax.runtime.parts import images_at_once
from matnet_jax.runtime.sharding import batch_sharded, global_batch, replicated

SAMPLE_FACES = 8  # that are shown, half of them real


Step = Callable[[Mapping[str, Any], Batch], dict[str, Any]]
"""Variables and this process's part of a batch -> ``index``, ``score``, ``loss_sum``, ``heatmaps``
of the global batch."""


class Scorer:
    """Scores sources with one compiled step.

    Args:
      model: whose `preprocess` the images get.
      mesh: the devices that share a batch.
      batch_size: global, a multiple of the devices.
      run: what computes in place of the devices, by weights of its own (`evaluation.engines`).
    """

    def __init__(
        self, model: Detector, mesh: Mesh, *, batch_size: int, run: Run | None = None
    ) -> None:
        self._image_size, self._batch_size = model.image_size, batch_size
        self._step = _on_devices(model, mesh, batch_size) if run is None else _by_engine(run)

    def score(self, variables: Mapping[str, Any], source: Source) -> tuple[Columns, float]:
        """Scores every example of `source` once.

        Args:
          variables: what the model's `apply` takes, on all devices of the mesh; an engine has its
            own, and leaves these.
          source: the same in every process.

        Returns:
          The source's columns, ``score`` [N] float32, the probability of fake, and ``row`` [N], of
          the source; and the mean cross entropy in nats. Of a network that judges each frame of a
          clip, the columns of the frames, each once. Every process gets all of it.

        Raises:
          RuntimeError: if an example was scored twice or not at all.
        """
        scores = np.zeros(0, np.float32)
        times_scored = np.zeros(len(source), np.int64)
        loss_sum = 0.0
        for batch in eval_batches(
            source,
            batch_size=self._batch_size,
            image_size=self._image_size,
            process_index=jax.process_index(),
            process_count=jax.process_count(),
        ):
            out = self._step(variables, batch)
            rows, values, loss = jax.device_get((out["index"], out["score"], out["loss_sum"]))
            kept = rows >= 0  # the others are padding
            if not len(scores):
                scores = np.full((len(source), *values.shape[1:]), np.nan, np.float32)
            scores[rows[kept]] = values[kept]
            np.add.at(times_scored, rows[kept], 1)
            loss_sum += float(loss)
        if np.any(times_scored != 1):
            row = int(np.argmax(times_scored != 1))
            raise RuntimeError(f"example {row} was scored {times_scored[row]} times, wanted once")
        return _as_columns(source, scores), loss_sum / max(len(source), 1)

    def overlays(
        self, variables: Mapping[str, Any], source: Source, rows: np.ndarray
    ) -> list[Overlay]:
        """The faces of `rows`, int64 [n], with their heat maps; every process gets all.

        Of clips the first frame is shown. Of a network without heat maps: [].
        """
        chosen = Rows(source, np.asarray(rows, np.int64))
        made: list[Overlay] = []
        # Every process reads these few faces whole, and gives its devices their part of them.
        part = self._batch_size // jax.process_count()
        own = slice(jax.process_index() * part, (jax.process_index() + 1) * part)
        for batch in eval_batches(chosen, batch_size=self._batch_size, image_size=self._image_size):
            local = {name: values[own] for name, values in batch.items()}
            out = self._step(variables, local)
            if not out["heatmaps"]:
                return []
            heatmaps, values, order = jax.device_get((out["heatmaps"], out["score"], out["index"]))
            maps = joined_heatmaps(heatmaps)
            # A slice of TPUs has its devices, and so the rows, in an order of the mesh's own.
            places = {int(row): place for place, row in enumerate(order)}
            if maps.ndim == 5:
                maps, values = maps[:, 0], values[:, 0]
            for i in np.flatnonzero(batch["index"] >= 0):
                index = int(batch["index"][i])
                row = {name: column[index] for name, column in chosen.columns.items()}
                place = places[index]
                made.append(
                    Overlay(
                        image=frames_of(batch["image"][i])[0],
                        attention=maps[place],
                        label=int(batch["label"][i]),
                        score=float(values[place]),
                        title=_title(row),
                    )
                )
        return made


def _on_devices(model: Detector, mesh: Mesh, batch_size: int) -> Step:
    # Of several devices each has its part of a batch, which parts of parts would tear apart.
    at_once = images_at_once(batch_size, frames=model.clip_length) if mesh.size == 1 else batch_size
    step = make_eval_step(model, at_once=at_once)

    def outputs(variables: Any, batch: dict[str, jax.Array]) -> dict[str, jax.Array]:
        return {**step(variables, batch), "index": batch["index"]}

    # Replicated outputs: every process reads the global batch's scores, without a gather.
    compiled = jax.jit(
        outputs,
        in_shardings=(replicated(mesh), batch_sharded(mesh)),
        out_shardings=replicated(mesh),
    )
    return lambda variables, batch: compiled(variables, global_batch(batch, mesh))


def _by_engine(run: Run) -> Step:
    loss = jax.jit(loss_sum)

    def step(_: Mapping[str, Any], batch: Batch) -> dict[str, Any]:
        found = run(batch["image"])
        logits, labels, weight = map(jnp.asarray, (found.logits, batch["label"], batch["weight"]))
        return {
            "index": batch["index"],
            "score": found.score,
            "heatmaps": found.heatmaps,
            "loss_sum": loss(logits, labels, weight),
        }

    return step


def _as_columns(source: Source, scores: np.ndarray) -> Columns:
    """Scores [N] of examples, or [N, T] of the frames of clips, with their columns."""
    if scores.ndim == 1:
        return {**source.columns, "score": scores, "row": np.arange(len(scores))}
    assert isinstance(source, ClipSource)  # only clips have frames
    row, clip, place = source.each_frame()
    columns = {name: column[row] for name, column in source.frames.columns.items()}
    return {**columns, "score": scores[clip, place], "row": clip}


def sample_rows(columns: Mapping[str, np.ndarray], count: int = SAMPLE_FACES) -> np.ndarray:
    """Rows of faces to show: real and fake in turn, each of another video, spread over them all."""
    chosen = []
    for label in (0, 1):
        rows = np.flatnonzero(columns["label"] == label)
        identity = np.stack([columns[k][rows] for k in VIDEO_IDENTITY], axis=1)
        _, first = np.unique(identity, axis=0, return_index=True)
        most = min((count + 1 - label) // 2, len(first))
        spread = np.linspace(0, len(first) - 1, num=most).round()
        chosen.append(rows[first[spread.astype(int)]])
    longest = max(map(len, chosen))
    return np.array([part[i] for i in range(longest) for part in chosen if i < len(part)], np.int64)


def _title(row: Mapping[str, Any]) -> str:
    video = "/".join(str(row[k]) for k in ("subset", "video_id") if row[k])
    return f"{video}, frame {row['frame']}"
