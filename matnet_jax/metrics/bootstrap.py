"""How far a figure could be luck of the draw: percentile bootstrap over videos.

Videos are drawn, never frames: frames of one video resemble each other, and drawing them alone
gives intervals far too narrow. Reals and fakes are drawn apart, so that every draw has both.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np

from matnet_jax.metrics.binary import METRICS
from matnet_jax.metrics.videos import VIDEO_IDENTITY, group_videos

Metric = Callable[[np.ndarray, np.ndarray], float | None]


def video_draws(labels: np.ndarray, *, num_resamples: int, seed: int) -> Iterator[np.ndarray]:
    """Draws with replacement within each class: yields int64 [V] indices of videos.

    Without videos there is nothing to draw.
    """
    generator = np.random.default_rng(seed)
    classes = [np.flatnonzero(labels == label) for label in (0, 1)]
    classes = [rows for rows in classes if len(rows)]
    for _ in range(num_resamples if classes else 0):
        yield np.concatenate([generator.choice(rows, len(rows)) for rows in classes])


def bootstrap_intervals(
    scores: Mapping[str, Any],
    metrics: Mapping[str, Metric] | None = None,
    *,
    num_resamples: int = 1000,
    confidence: float = 0.95,
    seed: int = 0,
) -> dict[str, list[float] | None]:
    """Intervals of metrics of frames or of videos.

    Args:
      scores: columns of faces, or of videos as `video_scores` gives them; a video's rows are drawn
        together.
      metrics: name -> function of (labels, scores); AUC, accuracy, EER and AP by default.
      num_resamples: draws.
      confidence: the intervals' coverage.
      seed: the same seed gives the same intervals.

    Returns:
      name -> [low, high], or None where the metric is undefined.
    """
    metrics = metrics or {name: METRICS[name] for name in ("auc", "acc", "eer", "ap")}
    first_row, row_video = group_videos(scores)
    labels, values = np.asarray(scores["label"]), np.asarray(scores["score"], np.float64)
    defined = {name: f for name, f in metrics.items() if f(labels, values) is not None}
    rows = _rows_of_videos(row_video, len(first_row))
    samples: dict[str, list] = {name: [] for name in defined}
    for draw in video_draws(labels[first_row], num_resamples=num_resamples, seed=seed):
        drawn = np.concatenate([rows[video] for video in draw])
        for name, function in defined.items():
            samples[name].append(function(labels[drawn], values[drawn]))
    return {
        name: _interval(samples[name], confidence) if samples.get(name) else None
        for name in metrics
    }


class PairedDifference(NamedTuple):
    """b minus a, on the videos both have.

    `p_value` is two-sided: twice the smaller share of draws on one side of 0.
    """

    a: float | None
    b: float | None
    difference: float | None
    interval: list[float] | None
    p_value: float | None
    num_videos: int
    only_a: int
    only_b: int


def paired_bootstrap(
    a: Mapping[str, Any],
    b: Mapping[str, Any],
    metric: Metric = METRICS["auc"],
    *,
    num_resamples: int = 1000,
    confidence: float = 0.95,
    seed: int = 0,
) -> PairedDifference:
    """Compares two detectors on the same draws of the same videos.

    Args:
      a, b: columns of videos, as `video_scores` gives them.
      metric: function of (labels, scores).
      num_resamples, confidence, seed: as for `bootstrap_intervals`.

    Returns:
      The metric of each on the videos both have, their difference and its interval.

    Raises:
      ValueError: the two disagree on a video's label.
    """
    index_a, index_b = _index(a), _index(b)
    common = sorted(index_a.keys() & index_b.keys())
    rows_a = np.array([index_a[key] for key in common], np.int64)
    rows_b = np.array([index_b[key] for key in common], np.int64)
    labels = np.asarray(a["label"])[rows_a]
    unlike = np.flatnonzero(labels != np.asarray(b["label"])[rows_b])
    if len(unlike):
        name = "/".join(common[unlike[0]])
        raise ValueError(
            f"{len(unlike)} video(s) are real in one evaluation and fake in the other, such as "
            f"{name}; compare evaluations of the same data"
        )
    scores_a = np.asarray(a["score"], np.float64)[rows_a]
    scores_b = np.asarray(b["score"], np.float64)[rows_b]
    value_a, value_b = metric(labels, scores_a), metric(labels, scores_b)
    only_a, only_b = len(index_a) - len(common), len(index_b) - len(common)
    if value_a is None or value_b is None:
        return PairedDifference(value_a, value_b, None, None, None, len(common), only_a, only_b)
    differences = np.array(
        [
            metric(labels[draw], scores_b[draw]) - metric(labels[draw], scores_a[draw])  # type: ignore
            for draw in video_draws(labels, num_resamples=num_resamples, seed=seed)
        ]
    )
    # A draw counts as its own evidence, so no p-value is 0.
    below = (np.sum(differences <= 0) + 1) / (num_resamples + 1)
    above = (np.sum(differences >= 0) + 1) / (num_resamples + 1)
    return PairedDifference(
        a=value_a,
        b=value_b,
        difference=value_b - value_a,
        interval=_interval(differences, confidence),
        p_value=float(min(1.0, 2 * min(below, above))),
        num_videos=len(common),
        only_a=only_a,
        only_b=only_b,
    )


def _index(videos: Mapping[str, Any]) -> dict[tuple[str, ...], int]:
    rows = zip(
        *(np.asarray(videos[name]).astype(str).tolist() for name in VIDEO_IDENTITY), strict=True
    )
    return {identity: row for row, identity in enumerate(rows)}


def _rows_of_videos(row_video: np.ndarray, num_videos: int) -> list[np.ndarray]:
    counts = np.bincount(row_video, minlength=num_videos)
    return np.split(np.argsort(row_video, kind="stable"), np.cumsum(counts)[:-1])


def _interval(samples: Any, confidence: float) -> list[float]:
    tail = (1 - confidence) / 2
    low, high = np.quantile(np.asarray(samples, np.float64), [tail, 1 - tail])
    return [float(low), float(high)]
