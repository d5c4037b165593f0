"""All metrics of an evaluation, in the layout of `metrics.json`."""

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from matnet_jax.metrics.binary import binary_metrics
from matnet_jax.metrics.bootstrap import Resample, bootstrap_intervals, resampling_units
from matnet_jax.metrics.calibration import apply_temperature, fit_temperature, fit_threshold
from matnet_jax.metrics.cross import cross_auc
from matnet_jax.metrics.groups import group_table
from matnet_jax.metrics.operating_point import fit_operating_point, measure_operating_point
from matnet_jax.metrics.policies import SCORE_WITHOUT_FACE
from matnet_jax.metrics.risk_coverage import risk_coverage_summary
from matnet_jax.metrics.scores import PERSON_COLUMN, Columns, check_columns
from matnet_jax.metrics.videos import VIDEO_IDENTITY, group_videos, video_scores


def summarise(
    scores: Mapping[str, Any],
    *,
    aggregation: str = "mean",
    top_k: int = 10,
    threshold: float = 0.5,
    log_loss_epsilon: float = 1e-15,
    coverage: Mapping[str, Any] | None = None,
    validation: Mapping[str, Any] | None = None,
    validation_name: str = "",
    false_alarm_rate: float | None = None,
    max_risk: float | None = None,
    attributes: Mapping[str, Any] | None = None,
    num_resamples: int = 0,
    resample: Resample = "video",
    seed: int = 0,
) -> dict[str, Any]:
    """Frame and video metrics of scores, overall and per manipulation.

    Args:
      scores: columns `dataset, subset, compression, video_id, label, score`, one row a face, [N].
      aggregation: how a video's score comes from its frames' (`policies.POLICIES`).
      top_k: frames that `top_k_mean` takes.
      threshold: scores over it are called fake.
      log_loss_epsilon: clipping of the log loss.
      coverage: `{"without_face": [{"dataset", "subset", "compression", "video_id", "label"}, …]}`,
        the videos of the split in which no face could be used; its other entries are passed on.
        None if that is not known.
      validation: scores of the validation split, in columns as `scores`; threshold and temperature
        are fitted on them and applied here.
      validation_name: what that is, in words.
      false_alarm_rate, max_risk: of the operating point, see `fit_operating_point`.
      attributes: name -> a group for each row, str [N], "" where it is not known.
      num_resamples: bootstrap draws for the intervals; 0 for none.
      resample: what is drawn, "video" or "identity"; the latter needs the column `source_id`.
      seed: of the draws.

    Returns:
      A dict that JSON can hold, undefined values None: `frame` and `video` (`binary_metrics`),
      `by_subset` {name: {frame, video}}, each subset's fakes against all reals of the same data set
      and compression, with `intervals` of videos where they are asked for; `by_dataset` {name:
      {frame, video}} where there are several, and `cross` (`cross_auc`); `risk_coverage`;
      `coverage`; `protocol`; and, where asked for, `intervals`, `by_group` (`group_table`),
      `fitted` and `operating_point`, None where it can't be fitted.

    Raises:
      ValueError: a column is missing, a score is no probability, a video has two labels, an option
        is unknown.
    """
    check_columns(scores, (*VIDEO_IDENTITY, "label", "score"))
    names = (*VIDEO_IDENTITY, "label", "score", "face", "frame", PERSON_COLUMN)
    frames = {name: np.asarray(scores[name]) for name in names if name in scores}
    videos = video_scores(frames, aggregation=aggregation, top_k=top_k)
    options = {"threshold": threshold, "log_loss_epsilon": log_loss_epsilon}

    def both_levels(frame_rows: np.ndarray, video_rows: np.ndarray) -> dict[str, dict]:
        return {
            "frame": _metrics_of(_take(frames, frame_rows), options),
            "video": _metrics_of(_take(videos, video_rows), options),
        }

    subsets = named_subsets(videos)
    summary: dict[str, Any] = {
        "frame": _metrics_of(frames, options),
        "video": _metrics_of(videos, options),
        "by_subset": {
            name: both_levels(subset_rows(frames, key), subset_rows(videos, key))
            for name, key in subsets.items()
        },
    }
    datasets = np.unique(videos["dataset"]).tolist()
    if len(datasets) > 1:
        summary["by_dataset"] = {
            name: both_levels(frames["dataset"] == name, videos["dataset"] == name)
            for name in datasets
        }
        summary["cross"] = {"frame": cross_auc(frames), "video": cross_auc(videos)}
    summary["risk_coverage"] = {
        level: risk_coverage_summary(columns["label"], columns["score"], threshold)
        for level, columns in (("frame", frames), ("video", videos))
    }
    summary["coverage"] = _coverage(len(frames["label"]), videos, coverage, options)
    summary["protocol"] = {
        "aggregation": aggregation,
        **({"top_k": top_k} if aggregation == "top_k_mean" else {}),
        **options,
    }
    draws: dict[str, Any] = {"num_resamples": num_resamples, "seed": seed}
    if validation is not None:
        fitting = video_scores(validation, aggregation=aggregation, top_k=top_k)
        summary["fitted"] = {
            "frame": _fitted(validation, frames, log_loss_epsilon),
            "video": _fitted(fitting, videos, log_loss_epsilon),
        }
        point = fit_operating_point(
            fitting,
            false_alarm_rate=false_alarm_rate,
            max_risk=max_risk,
            aggregation=aggregation,
            top_k=top_k,
            fitted_on=validation_name,
        )
        summary["operating_point"] = point and {
            **point.as_json(),
            "measured": measure_operating_point(point, videos),
        }
    if attributes is not None:
        first_row, _ = group_videos(frames)
        summary["by_group"] = {
            name: group_table(
                videos,
                np.asarray(groups)[first_row],
                threshold=threshold,
                resample=resample,
                **draws,
            )
            for name, groups in attributes.items()
        }
    if num_resamples:
        draws |= {"confidence": 0.95}
        options_of_draws = {"threshold": threshold, "resample": resample, **draws}
        summary["intervals"] = {
            "frame": bootstrap_intervals(frames, **options_of_draws),
            "video": bootstrap_intervals(videos, **options_of_draws),
            **draws,
            "resample": resampling_units(videos, resample).as_json(resample),
        }
        for name, key in subsets.items():
            own = _take(videos, subset_rows(videos, key))
            intervals = {"video": bootstrap_intervals(own, **options_of_draws)}
            summary["by_subset"][name]["intervals"] = intervals
    return summary


def _metrics_of(columns: Columns, options: Mapping[str, float]) -> dict[str, Any]:
    return binary_metrics(columns["label"], columns["score"], **options)


def _take(columns: Columns, rows: np.ndarray) -> Columns:
    return {name: column[rows] for name, column in columns.items()}


def named_subsets(videos: Columns) -> dict[str, tuple[str, str, str]]:
    """Display name -> (dataset, subset, compression) of each subset with fakes.

    The name is the subset's, with data set and compression where the evaluation has several.
    """
    fake = videos["label"] == 1
    keys = sorted(set(zip(*(videos[k][fake].tolist() for k in VIDEO_IDENTITY[:3]), strict=True)))
    several_datasets = len(np.unique(videos["dataset"])) > 1
    several_compressions = len({compression for _, _, compression in keys}) > 1

    def name(dataset: str, subset: str, compression: str) -> str:
        parts = [dataset] if several_datasets or not subset else []
        parts += [subset, compression if several_compressions else ""]
        return "/".join(part for part in parts if part) or "all"

    return {name(*key): key for key in keys}


def subset_rows(columns: Columns, key: tuple[str, str, str]) -> np.ndarray:
    """Mask [N] of a subset's fakes and all reals of its data set and compression."""
    dataset, subset, compression = key
    same = (columns["dataset"] == dataset) & (columns["compression"] == compression)
    return same & ((columns["label"] == 0) | (columns["subset"] == subset))


def _coverage(
    num_faces: int,
    videos: Columns,
    coverage: Mapping[str, Any] | None,
    options: Mapping[str, float],
) -> dict[str, Any]:
    known = {"videos_scored": len(videos["label"]), "faces_scored": num_faces}
    if coverage is None:
        return {**known, "videos_without_face": None}
    missing = _unscored(coverage.get("without_face", ()), videos)
    filled = {
        "label": np.concatenate([videos["label"], np.array([m["label"] for m in missing], int)]),
        "score": np.concatenate([videos["score"], np.full(len(missing), SCORE_WITHOUT_FACE)]),
    }
    return {
        **coverage,
        **known,
        "videos": len(filled["label"]),
        "videos_without_face": len(missing),
        "score_without_face": SCORE_WITHOUT_FACE,
        "without_face": missing,
        "video_with_them": _metrics_of(filled, options),
    }


def _unscored(rows: Iterable[Mapping[str, Any]], videos: Columns) -> list[dict[str, Any]]:
    """Videos without a face, each once; one that has scores after all is an error."""
    scored = set(zip(*(videos[k].tolist() for k in VIDEO_IDENTITY), strict=True))
    missing: dict[tuple, dict[str, Any]] = {}
    for row in rows:
        lacking = [name for name in (*VIDEO_IDENTITY, "label") if name not in row]
        if lacking:
            raise ValueError(f"a video without a face lacks {', '.join(lacking)}: it is {row}")
        if row["label"] not in (0, 1):
            raise ValueError(f"label of a video without a face is {row['label']!r}, wanted 0 or 1")
        identity = tuple(str(row[name]) for name in VIDEO_IDENTITY)
        if identity in scored:
            raise ValueError(f"{'/'.join(identity)} is said to have no face, but has scores")
        named = dict(zip(VIDEO_IDENTITY, identity, strict=True))
        missing[identity] = {**named, "label": int(row["label"])}
    return list(missing.values())


def _fitted(
    validation: Mapping[str, Any], test: Mapping[str, Any], log_loss_epsilon: float
) -> dict[str, Any]:
    """Threshold and temperature of the validation scores, and the test metrics they move."""
    threshold = fit_threshold(validation["label"], validation["score"])
    temperature = fit_temperature(validation["label"], validation["score"])
    result: dict[str, Any] = {"threshold": threshold, "temperature": temperature}
    if threshold is not None:
        at = binary_metrics(test["label"], test["score"], threshold=threshold)
        result |= {name: at[name] for name in ("acc", "balanced_acc")}
    if temperature is not None:
        scores = apply_temperature(test["score"], temperature)
        after = binary_metrics(test["label"], scores, log_loss_epsilon=log_loss_epsilon)
        result |= {f"{name}_calibrated": after[name] for name in ("ece", "log_loss")}
    return result
