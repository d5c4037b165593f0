"""An evaluation as one HTML page that needs no network, no script and no other file."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from data_pipeline.files import atomic_file
from matnet_jax.metrics import (
    BASE_RATES,
    AlarmPrecision,
    alarm_precision,
    decide,
    most_wrong_videos,
    reason_undefined,
    video_scores,
)
from matnet_jax.metrics.scores import Columns
from matnet_jax.report import charts
from matnet_jax.report.overlays import Overlay, legend_gradient, statistics, tiles

FEW_VIDEOS = 30
MOST_HISTOGRAMS = 12

# key, name, whether it is a share, what it says
METRIC_ROWS = (
    ("auc", "AUC", True, "how often a fake scores higher than a real; 50 % is chance"),
    ("acc", "Accuracy", True, "share judged right at the threshold"),
    ("balanced_acc", "Balanced accuracy", True, "the same, reals and fakes weighing alike"),
    ("eer", "EER", True, "error rate where false alarms and misses are equally frequent"),
    ("ap", "Average precision", True, "area under precision and recall"),
    ("pauc", "Partial AUC", True, "AUC where at most 10 % of reals are accused; 50 % is chance"),
    ("tpr_at_fpr_1", "TPR at FPR 1 %", True, "fakes found when at most 1 % of reals are accused"),
    ("tpr_at_fpr_0.1", "TPR at FPR 0.1 %", True, "fakes found when at most 0.1 % are accused"),
    ("log_loss", "Log loss", False, "mean surprise, in nats; 0.693 is a coin"),
    ("ece", "Calibration error", True, "mean distance between score and share of fakes"),
)
RISK_ROWS = (
    ("risk", "Wrong decisions", "of all, at the threshold"),
    ("aurc", "Area under risk and coverage", "mean risk over all shares decided; low is good"),
    ("coverage_at_risk_1", "Coverage at risk 1 %", "the most confident, at most 1 % of them wrong"),
    ("coverage_at_risk_5", "Coverage at risk 5 %", "the most confident, at most 5 % of them wrong"),
)
FITTED_ROWS = (
    ("threshold", "Fitted threshold", False, "of the best balanced accuracy on validation"),
    ("acc", "Accuracy there", True, "share judged right at the fitted threshold"),
    ("balanced_acc", "Balanced accuracy there", True, "the same, reals and fakes weighing alike"),
    ("temperature", "Fitted temperature", False, "on validation; over 1 means overconfident"),
    ("ece_calibrated", "Calibration error after", True, "log odds divided by the temperature"),
    ("log_loss_calibrated", "Log loss after", False, "log odds divided by the temperature"),
)


def write_report(
    path: str | os.PathLike,
    *,
    title: str,
    metrics: Mapping[str, Any],
    scores: Mapping[str, np.ndarray],
    history: Mapping[str, np.ndarray] | None = None,
    overlays: Sequence[Overlay] | None = None,
    config: Mapping[str, Any] | None = None,
    versions: Mapping[str, Any] | None = None,
    most_wrong: Sequence[Overlay] | None = None,
) -> None:
    """Writes `report.html`.

    Args:
      path: the file; its folder is made.
      title: the page's heading.
      metrics: as `summarise` gives them or `metrics.json` holds them; `checkpoint`, `config` and
        `versions` in it are shown too, and `robustness`, as `charts.robustness` takes it.
      scores: the columns that the metrics come from, one row a face, [N].
      history: training curves, as `read_history` gives them.
      overlays: sample faces with their attention maps.
      config: the run's settings; nested mappings are flattened.
      versions: of the packages used.
      most_wrong: faces of the worst videos, with their attention maps.

    Raises:
      ValueError: scores are no score columns.
      OSError: the file can't be written.
    """
    protocol = metrics.get("protocol", {})
    videos = video_scores(
        scores, aggregation=protocol.get("aggregation", "mean"), top_k=protocol.get("top_k", 10)
    )
    frames = {name: np.asarray(scores[name]) for name in ("label", "score")}
    threshold = float(protocol.get("threshold", 0.5))
    counts = verdict(videos, threshold)
    page = (
        environment()
        .get_template("report.html.j2")
        .render(
            title=title,
            metrics=metrics,
            rows=METRIC_ROWS,
            fitted=metrics.get("fitted"),
            fitted_rows=FITTED_ROWS,
            risk_rows=RISK_ROWS,
            threshold=threshold,
            aggregation=protocol.get("aggregation", "mean").replace("_", " "),
            verdict=counts,
            alarms=alarms(counts),
            checkpoint=_checkpoint(metrics.get("checkpoint")),
            why={level: _why(metrics[level], level) for level in ("frame", "video")},
            few_videos=FEW_VIDEOS,
            few=min(metrics["video"]["n_real"], metrics["video"]["n_fake"]) < FEW_VIDEOS,
            curves=[
                charts.roc(frames, videos),
                charts.precision_recall(frames, videos),
                charts.histogram(videos, "videos", threshold=threshold, title="Scores of videos"),
                charts.histogram(frames, "faces", threshold=threshold, title="Scores of faces"),
                charts.calibration(frames, videos),
                charts.risk_coverage(frames, videos, threshold),
                *charts.by_subset(metrics.get("by_subset", {})),
            ],
            subset_histograms=_subset_histograms(videos, threshold),
            robustness=charts.robustness(
                metrics.get("robustness", {}),
                undisturbed={level: metrics[level]["auc"] for level in ("frame", "video")},
            ),
            training=charts.training_curves(history),
            worst=_rows(most_wrong_videos(videos)),
            worst_faces=[tiles(overlay) for overlay in most_wrong or ()],
            faces=[tiles(overlay) for overlay in overlays or ()],
            map_statistics=statistics(overlays or ()),
            gradient=legend_gradient(),
            config=flattened(config if config is not None else metrics.get("config")),
            versions=flattened(versions if versions is not None else metrics.get("versions")),
        )
    )
    with atomic_file(path) as file:
        file.write(page)


def environment(*, markdown: bool = False) -> Environment:
    """The pages' templates. In HTML all text is escaped; an undefined name is an error."""
    made = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=not markdown,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters["percent"] = lambda value: f"{100 * value:.2f}\N{NO-BREAK SPACE}%"
    made.filters["thousands"] = lambda value: f"{value:,}".replace(",", "\N{NARROW NO-BREAK SPACE}")
    return made


def flattened(values: Any, prefix: str = "") -> list[tuple[str, str]]:
    """(dotted name, value) of nested mappings; whatever else it is given is one nameless value."""
    if values is None:
        return []
    if not isinstance(values, Mapping):
        return [(prefix, str(values))]
    rows = []
    for key, value in values.items():
        name = f"{prefix}.{key}" if prefix else str(key)
        rows += flattened(value, name) if isinstance(value, Mapping) else [(name, str(value))]
    return rows


def verdict(videos: Columns, threshold: float) -> dict[str, int]:
    """Counts of videos by truth and decision."""
    called = decide(videos["score"], threshold)
    return {
        f"{truth}_called_{call}": int(np.sum((videos["label"] == i) & (called == j)))
        for i, truth in enumerate(("real", "fake"))
        for j, call in enumerate(("real", "fake"))
    }


def alarms(verdict: Mapping[str, int]) -> list[AlarmPrecision]:
    """What an alarm is worth at realistic shares of fakes; [] if a class is missing."""
    made = [
        alarm_precision(
            found=verdict["fake_called_fake"],
            fakes=verdict["fake_called_fake"] + verdict["fake_called_real"],
            accused=verdict["real_called_fake"],
            reals=verdict["real_called_fake"] + verdict["real_called_real"],
            base_rate=base_rate,
        )
        for base_rate in BASE_RATES
    ]
    return [row for row in made if row is not None]


def _checkpoint(value: Any) -> str:
    return ", ".join(f"{name} {text}".strip() for name, text in flattened(value))


def _why(metrics: Mapping[str, Any], level: str) -> str | None:
    return reason_undefined(metrics["n_real"], metrics["n_fake"], f"{level}s")


def _subset_histograms(videos: Columns, threshold: float) -> list[charts.Chart]:
    """A histogram for each subset, reals and fakes each on their own; none if there is but one."""
    keys = sorted(
        set(zip(*(videos[k].tolist() for k in ("dataset", "subset", "compression")), strict=True))
    )
    if len(keys) < 2:
        return []
    made = []
    for key in keys[:MOST_HISTOGRAMS]:
        rows = np.ones(len(videos["label"]), bool)
        for name, value in zip(("dataset", "subset", "compression"), key, strict=True):
            rows &= videos[name] == value
        part = {name: videos[name][rows] for name in ("label", "score")}
        title = " / ".join(text for text in key if text) or "all"
        made.append(charts.small_histogram(part, threshold=threshold, title=title))
    return made


def _rows(columns: Columns) -> list[dict[str, Any]]:
    names = list(columns)
    return [
        dict(zip(names, values, strict=True))
        for values in zip(*(column.tolist() for column in columns.values()), strict=True)
    ]
