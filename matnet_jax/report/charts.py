"""The report's charts. Each says why where there is nothing to draw."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator, PercentFormatter
from sklearn.metrics import precision_recall_curve, roc_curve

from matnet_jax.metrics import METRICS, calibration_bins, reason_undefined
from matnet_jax.metrics import risk_coverage as risk_coverage_curve
from matnet_jax.metrics.scores import Columns
from matnet_jax.report.drawing import (
    FAKE,
    FRAME,
    INK,
    REAL,
    SIZE,
    SMALL,
    SPLITS,
    VIDEO,
    Chart,
    drawn,
    shortened,
    unit_square,
)

NUM_BINS = 20


def roc(frames: Columns, videos: Columns) -> Chart:
    """ROC curves of frames and videos, with the equal error rate's diagonal."""

    def draw(axes: Axes) -> None:
        axes.plot([0, 1], [0, 1], color=INK, linewidth=0.8, alpha=0.5, linestyle=(0, (4, 3)))
        for columns, name, color in _levels(frames, videos):
            x, y, _ = roc_curve(columns["label"], columns["score"])
            axes.plot(x, y, color=color, label=_named(name, "auc", columns))
        axes.set(xlabel="reals called fake", ylabel="fakes found")
        unit_square(axes)
        axes.legend(loc="lower right")

    return _ranking_chart("ROC curve", videos, draw, "The dashed line is chance.")


def precision_recall(frames: Columns, videos: Columns) -> Chart:
    """Precision against recall, fake being what is looked for."""

    def draw(axes: Axes) -> None:
        for columns, name, color in _levels(frames, videos):
            precision, recall, _ = precision_recall_curve(columns["label"], columns["score"])
            label = _named(name, "ap", columns)
            axes.plot(recall, precision, color=color, drawstyle="steps-post", label=label)
        axes.set(xlabel="fakes found (recall)", ylabel="alarms that are right (precision)")
        unit_square(axes)
        axes.legend(loc="lower left")

    share = np.mean(videos["label"]) if len(videos["label"]) else 0.0
    note = f"Precision holds for this set's share of fakes, {100 * share:.0f} % of the videos."
    return _ranking_chart("Precision and recall", videos, draw, note)


def calibration(frames: Columns, videos: Columns) -> Chart:
    """Share of fakes against score: on the diagonal a score is a probability."""

    def draw(axes: Axes) -> None:
        axes.plot([0, 1], [0, 1], color=INK, linewidth=0.8, alpha=0.5, linestyle=(0, (4, 3)))
        for columns, name, color in _levels(frames, videos):
            bins = calibration_bins(columns["label"], columns["score"])
            axes.plot(bins.mean_score, bins.fake_share, color=color, linewidth=1.2, label=name)
            sizes = 10 + 90 * bins.size / bins.size.max()
            axes.scatter(bins.mean_score, bins.fake_share, s=sizes, color=color, alpha=0.6)
        axes.set(xlabel="score", ylabel="share that is fake")
        unit_square(axes)
        axes.legend(loc="upper left")

    note = "Dots grow with the number of scores; on the dashed line a score is a probability."
    return _ranking_chart("Calibration", videos, draw, note)


def risk_coverage(frames: Columns, videos: Columns, threshold: float) -> Chart:
    """Share of wrong decisions among the most confident ones, against how many these are."""
    title = "Risk and coverage"
    curves = [
        (risk_coverage_curve(c["label"], c["score"], threshold), name, color)
        for c, name, color in _levels(frames, videos)
    ]
    if curves[0][0] is None:
        return Chart(title, message="Nothing was scored.")

    def draw(axes: Axes) -> None:
        for found, name, color in curves:
            if found is not None:
                label = f"{name}, area {100 * found.area:.2f} %"
                axes.plot(
                    found.coverage, found.risk, color=color, drawstyle="steps-pre", label=label
                )
        axes.set(xlabel="share decided (coverage)", ylabel="of these wrong (risk)")
        axes.set(xlim=(-0.01, 1.01), ylim=(-0.002, None))
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_major_formatter(PercentFormatter(1.0))
        axes.legend(loc="best")

    note = f"The scores farthest from the threshold, {threshold:g}, are decided first."
    return Chart(title, drawn(title, draw), note=note)


def histogram(columns: Columns, what: str, *, threshold: float, title: str) -> Chart:
    """How the scores of reals and of fakes spread; each class's bars add up to 100 %."""
    labels = columns["label"]
    missing = reason_undefined(int(np.sum(labels == 0)), int(np.sum(labels == 1)), what)
    if not len(labels):
        return Chart(title, message=_sentence(missing))

    def draw(axes: Axes) -> None:
        _score_bars(axes, columns, threshold)
        axes.set_ylabel(f"share of {what}")
        axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=2)

    note = f"{_sentence(missing)} The dashed line is the threshold, {threshold:g}.".strip()
    return Chart(title, drawn(f"{title}: {what}", draw), note=note)


def small_histogram(columns: Columns, *, threshold: float, title: str) -> Chart:
    """The histogram of one subset's videos, its counts below it."""
    labels = columns["label"]
    counts = ((int(np.sum(labels == 0)), "real"), (int(np.sum(labels == 1)), "fake"))
    note = ", ".join(f"{count} {name}" for count, name in counts if count)

    def draw(axes: Axes) -> None:
        _score_bars(axes, columns, threshold)

    return Chart(title, drawn(f"Scores of {title}", draw, size=SMALL), note=note)


def by_subset(parts: Mapping[str, Mapping[str, Mapping]]) -> list[Chart]:
    """Bars of each subset's video AUC, worst first; none for a single subset."""
    areas = {name: part["video"]["auc"] for name, part in parts.items()}
    ranked = sorted((auc, name) for name, auc in areas.items() if auc is not None)
    if len(areas) < 2 or not ranked:
        return []

    def draw(axes: Axes) -> None:
        values, places = [auc for auc, _ in ranked], list(range(len(ranked)))
        axes.barh(places, values, color=VIDEO, alpha=0.75, height=0.6)
        axes.set_yticks(places, [shortened(name) for _, name in ranked])
        for place, value in zip(places, values, strict=True):
            axes.text(value - 0.01, place, f"{100 * value:.1f}", va="center", ha="right", size=8)
        axes.axvline(0.5, color=INK, linewidth=0.8, linestyle=(0, (4, 3)))
        axes.set(xlim=(0, 1.01), xlabel="video AUC")
        axes.grid(axis="y", visible=False)
        axes.xaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
        axes.invert_yaxis()

    height = max(2.0, 0.34 * len(ranked) + 0.8)
    svg = drawn("Video AUC by manipulation", draw, size=(SIZE[0], height))
    return [Chart("AUC by manipulation", svg, note="Worst first. The dashed line is chance.")]


def _score_bars(axes: Axes, columns: Columns, threshold: float) -> None:
    edges = np.linspace(0, 1, NUM_BINS + 1).tolist()
    for label, name, color in ((0, "real", REAL), (1, "fake", FAKE)):
        scores = columns["score"][columns["label"] == label]
        if len(scores):
            axes.hist(
                scores,
                edges,
                weights=np.full(len(scores), 1 / len(scores)),
                color=color,
                alpha=0.55,
                edgecolor=color,
                linewidth=0.8,
                label=f"{name} ({len(scores)})",
            )
    axes.axvline(threshold, color=INK, linewidth=0.8, linestyle=(0, (4, 3)))
    axes.set(xlabel="score", xlim=(0, 1))
    axes.yaxis.set_major_locator(MaxNLocator(6, steps=[1, 2, 5, 10], min_n_ticks=3))
    axes.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))


def training_curves(history: Mapping[str, np.ndarray] | None) -> list[Chart]:
    """One chart for each metric that training logged.

    Args:
      history: columns `step`, maybe `epoch` and `split`, and metrics with NaN where nothing was
        logged; each [rows].
    """
    if history is None or not len(history.get("step", ())):
        return []
    by_epoch = "epoch" in history
    x = np.asarray(history["epoch" if by_epoch else "step"], np.float64)
    splits = np.asarray(history.get("split", np.full(len(x), "train")))
    charts = []
    for name in sorted(set(history) - {"step", "epoch", "split"}, key=_curve_order):
        values = np.asarray(history[name], np.float64)
        logged = np.isfinite(values) & np.isfinite(x)
        if not logged.any():
            continue

        def draw(axes: Axes, values: Any = values, logged: Any = logged) -> None:
            for split in dict.fromkeys(splits[logged].tolist()):
                rows = logged & (splits == split)
                axes.plot(
                    x[rows],
                    values[rows],
                    label=f"{split}",
                    color=SPLITS.get(split, INK),
                    marker="o" if rows.sum() < 30 else None,
                    markersize=2.5,
                )
            axes.set_xlabel("epoch" if by_epoch else "step")
            axes.xaxis.set_major_locator(MaxNLocator(6, integer=not by_epoch))
            axes.legend(loc="best")

        charts.append(Chart(name, drawn(f"training {name}", draw, size=SMALL)))
    return charts


def robustness(
    curves: Mapping[str, Sequence[Mapping[str, float | None]]],
    undisturbed: Mapping[str, float | None],
) -> list[Chart]:
    """AUC against the strength of each disturbance, growing to the right.

    Args:
      curves: disturbance -> points `{"strength", "video_auc", "frame_auc"}`, mild ones first; an
        AUC of None, or none at all, leaves a gap.
      undisturbed: AUC by level of the images as they are, drawn as a level line.
    """
    made = []
    for name, points in curves.items():
        known = [p for p in points if p.get("video_auc") is not None]
        if not known:
            made.append(Chart(name, message="AUC is undefined at every strength."))
            continue

        def draw(axes: Axes, name: str = name, points: Any = points) -> None:
            strength = np.array([point["strength"] for point in points], np.float64)
            for level, color in (("frame", FRAME), ("video", VIDEO)):
                areas = np.array([point.get(f"{level}_auc") for point in points], np.float64)
                if np.isfinite(areas).any():
                    axes.plot(strength, areas, color=color, marker="o", markersize=3, label=level)
                    before = undisturbed.get(level)
                    if before is not None:
                        axes.axhline(before, color=color, linewidth=0.8, linestyle=(0, (1, 2)))
            axes.axhline(0.5, color=INK, linewidth=0.8, alpha=0.5, linestyle=(0, (4, 3)))
            axes.set(xlabel=name.replace("_", " "), ylabel="AUC", ylim=(None, 1.01))
            if len(strength) > 1 and strength[0] > strength[-1]:
                axes.invert_xaxis()  # a quality: lower is stronger
            axes.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
            axes.legend(loc="best")

        made.append(Chart(name, drawn(f"robustness to {name}", draw, size=SMALL)))
    return made


def _curve_order(name: str) -> tuple[int, str]:
    first = ("loss", "auc", "video_auc", "acc", "video_acc")
    return (first.index(name) if name in first else len(first), name)


def _levels(frames: Columns, videos: Columns) -> tuple[tuple[Columns, str, str], ...]:
    return (frames, "frames", FRAME), (videos, "videos", VIDEO)


def _named(level: str, metric: str, columns: Columns) -> str:
    value = METRICS[metric](columns["label"], columns["score"])
    return level if value is None else f"{level}, {metric.upper()} {100 * value:.2f} %"


def _ranking_chart(title: str, videos: Columns, draw: Callable[[Axes], None], note: str) -> Chart:
    """A chart that needs both classes. Frames have them exactly where videos have."""
    labels = videos["label"]
    missing = reason_undefined(int(np.sum(labels == 0)), int(np.sum(labels == 1)), "videos")
    if missing:
        return Chart(title, message=f"{_sentence(missing)} The curve needs both classes.")
    return Chart(title, drawn(title, draw), note=note)


def _sentence(text: str | None) -> str:
    return f"{text[0].upper()}{text[1:]}." if text else ""
