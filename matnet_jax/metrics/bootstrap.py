"""How far a figure could be luck of the draw: percentile bootstrap over videos or over people.

Videos are drawn, never frames: frames of one video resemble each other, and drawing them alone
gives intervals far too narrow. Videos of one person, and the fakes made of them, resemble each
other too: ``resample="identity"`` draws people with all their videos. What is drawn is stratified
by the classes it has, so that every draw has both.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal, NamedTuple

import numpy as np

from matnet_jax.metrics.binary import Metric, metric_functions
from matnet_jax.metrics.videos import VIDEO_IDENTITY, group_videos
from matnet_jax.metrics.weighted import WEIGHTED, Ranking, Samples

Resample = Literal["video", "identity"]
RESAMPLES: tuple[Resample, ...] = ("video", "identity")
INTERVAL_METRICS = ("auc", "acc", "eer", "ap")
_BLOCK = 2**18  # weights that are held at once: they stay in the cache


class Units(NamedTuple):
    """What is drawn.

    Attributes:
      row_unit: int64 [N], the unit of each row.
      strata: units that have reals alone, fakes alone, both; int64 arrays, none of them empty.
      num_units: U.
      num_videos: that they hold.
      unknown: videos whose person is not known; each is a unit of its own.
    """

    row_unit: np.ndarray
    strata: list[np.ndarray]
    num_units: int
    num_videos: int
    unknown: int

    def as_json(self, resample: Resample) -> dict[str, Any]:
        """What was drawn, for `metrics.json`."""
        if resample == "video":
            return {"unit": "video", "units": self.num_units}
        alone = self.num_units == self.num_videos
        return {
            "unit": "video" if alone else "identity",
            "units": self.num_units,
            "videos": self.num_videos,
            "videos_of_unknown_identity": self.unknown,
            "note": "no two videos share a known source_id: these are draws of videos"
            if alone
            else None,
        }


def resampling_units(columns: Mapping[str, Any], resample: Resample = "video") -> Units:
    """Groups rows of faces or of videos into what is drawn.

    Args:
      columns: those of `VIDEO_IDENTITY`, `label`; and `source_id`, the person or the original that
        videos of one data set share, where people are drawn and it is known.
      resample: "video" or "identity".

    Raises:
      ValueError: `resample` is neither.
    """
    if resample not in RESAMPLES:
        raise ValueError(f"resample is {resample!r}, wanted one of {', '.join(RESAMPLES)}")
    first_row, row_video = group_videos(columns)
    labels = np.asarray(columns["label"])[first_row]
    num_videos = len(first_row)
    unit, unknown = np.arange(num_videos), 0
    if resample == "identity":
        source = np.asarray(columns.get("source_id", np.full(len(row_video), "")))[first_row]
        dataset = np.asarray(columns["dataset"])[first_row]
        known = source != ""
        unknown = int(np.sum(~known))
        # Names are unique within a data set alone; an unknown person's videos stand each alone.
        keys = [
            (d, s, -1) if k else (d, "", video)
            for video, (d, s, k) in enumerate(
                zip(dataset.tolist(), source.tolist(), known.tolist(), strict=True)
            )
        ]
        numbers = {key: i for i, key in enumerate(dict.fromkeys(keys))}
        unit = np.array([numbers[key] for key in keys], np.int64)
    num_units = int(unit.max(initial=-1)) + 1
    has = [np.bincount(unit[labels == label], minlength=num_units) > 0 for label in (0, 1)]
    kind = has[0] + 2 * has[1]
    strata = [np.flatnonzero(kind == k) for k in (1, 2, 3)]
    return Units(unit[row_video], [s for s in strata if len(s)], num_units, num_videos, unknown)


def draw_weights(
    units: Units, *, num_resamples: int, seed: int, block: int
) -> Iterator[np.ndarray]:
    """Draws with replacement within each stratum: yields how often each unit was drawn, [d, U].

    At most `block` draws come at once. Without units there is nothing to draw.
    """
    generator = np.random.default_rng(seed)
    left = num_resamples if units.strata else 0
    while left:
        count = min(block, left)
        weights = np.empty((count, units.num_units))
        for row in weights:
            drawn = np.concatenate([generator.choice(s, len(s)) for s in units.strata])
            row[:] = np.bincount(drawn, minlength=units.num_units)
        yield weights
        left -= count


class _Resampled:
    """Metrics of many draws of the same rows, where the rows define them.

    Args:
      metrics: name -> a name of `METRICS`, or a function.
      labels, scores: of the rows, [N].
      threshold: of the accuracies.
    """

    def __init__(
        self,
        metrics: Mapping[str, str | Metric],
        labels: np.ndarray,
        scores: np.ndarray,
        threshold: float,
    ) -> None:
        known = metric_functions(threshold=threshold)
        unknown = [m for m in metrics.values() if isinstance(m, str) and m not in known]
        if unknown:
            raise ValueError(f"unknown metric {unknown[0]!r}; available: {', '.join(known)}")
        self._labels, self._scores = labels, scores
        self._metrics = metrics
        self._functions = {
            name: known[metric] if isinstance(metric, str) else metric
            for name, metric in metrics.items()
        }
        self._ranking = Ranking(labels, scores, threshold)
        self.values = {name: function(labels, scores) for name, function in self._functions.items()}

    def __call__(self, weights: np.ndarray) -> dict[str, np.ndarray]:
        """Weights [D, N] -> [D] of each metric that is defined."""
        samples, found = Samples(self._ranking, weights), {}
        for name, metric in self._metrics.items():
            if self.values[name] is None:
                continue
            if isinstance(metric, str) and metric in WEIGHTED:
                found[name] = WEIGHTED[metric](samples)
            else:
                rows = [np.repeat(np.arange(len(w)), w.astype(np.int64)) for w in weights]
                function = self._functions[name]
                values = [function(self._labels[row], self._scores[row]) for row in rows]
                found[name] = np.array(values, np.float64)
        return found


def bootstrap_intervals(
    scores: Mapping[str, Any],
    metrics: Sequence[str] | Mapping[str, Metric] = INTERVAL_METRICS,
    *,
    resample: Resample = "video",
    threshold: float = 0.5,
    num_resamples: int = 1000,
    confidence: float = 0.95,
    seed: int = 0,
) -> dict[str, list[float] | None]:
    """Intervals of metrics of frames or of videos.

    Args:
      scores: columns of faces, or of videos as `video_scores` gives them; a video's rows are drawn
        together.
      metrics: names of `METRICS`, or name -> function of (labels, scores). Those of `WEIGHTED`,
        asked for by name, take seconds where others take minutes.
      resample: what is drawn, "video" or "identity"; see `resampling_units`.
      threshold: of the accuracies.
      num_resamples: draws.
      confidence: the intervals' coverage.
      seed: the same seed gives the same intervals.

    Returns:
      name -> [low, high], or None where the metric is undefined.

    Raises:
      ValueError: an unknown metric, or `resample` is neither.
    """
    functions: Mapping[str, str | Metric] = (
        metrics if isinstance(metrics, Mapping) else {name: name for name in metrics}
    )
    units = resampling_units(scores, resample)
    labels, values = np.asarray(scores["label"]), np.asarray(scores["score"], np.float64)
    resampled = _Resampled(functions, labels, values, threshold)
    samples: dict[str, list[np.ndarray]] = {name: [] for name in functions}
    block = max(1, _BLOCK // max(len(labels), 1))
    for drawn in draw_weights(units, num_resamples=num_resamples, seed=seed, block=block):
        for name, found in resampled(drawn[:, units.row_unit]).items():
            samples[name].append(found)
    return {
        name: _interval(np.concatenate(found), confidence) if found else None
        for name, found in samples.items()
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
    metric: str | Metric = "auc",
    *,
    resample: Resample = "video",
    threshold: float = 0.5,
    num_resamples: int = 1000,
    confidence: float = 0.95,
    seed: int = 0,
) -> PairedDifference:
    """Compares two detectors on the same draws of the same videos.

    Args:
      a, b: columns of videos, as `video_scores` gives them. Where people are drawn, they are a's,
        or b's where a has none.
      metric: a name of `METRICS`, or a function of (labels, scores).
      resample, threshold, num_resamples, confidence, seed: as for `bootstrap_intervals`.

    Returns:
      The metric of each on the videos both have, their difference and its interval.

    Raises:
      ValueError: the two disagree on a video's label; or see `bootstrap_intervals`.
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
    columns: dict[str, Any] = {name: np.asarray(a[name])[rows_a] for name in VIDEO_IDENTITY}
    columns["label"] = labels
    for side, rows in ((a, rows_a), (b, rows_b)):
        if "source_id" in side and "source_id" not in columns:
            columns["source_id"] = np.asarray(side["source_id"])[rows]
    units = resampling_units(columns, resample)
    first, second = (
        _Resampled({"": metric}, labels, np.asarray(side["score"], np.float64)[rows], threshold)
        for side, rows in ((a, rows_a), (b, rows_b))
    )
    value_a, value_b = first.values[""], second.values[""]
    only_a, only_b = len(index_a) - len(common), len(index_b) - len(common)
    if value_a is None or value_b is None:
        return PairedDifference(value_a, value_b, None, None, None, len(common), only_a, only_b)
    parts = []
    block = max(1, _BLOCK // max(len(labels), 1))
    for drawn in draw_weights(units, num_resamples=num_resamples, seed=seed, block=block):
        weights = drawn[:, units.row_unit]
        parts.append(second(weights)[""] - first(weights)[""])
    differences = np.concatenate(parts)
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


def _interval(samples: np.ndarray, confidence: float) -> list[float]:
    tail = (1 - confidence) / 2
    low, high = np.quantile(samples, [tail, 1 - tail])
    return [float(low), float(high)]
