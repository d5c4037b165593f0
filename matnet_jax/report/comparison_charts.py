"""Charts of several evaluations."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from sklearn.metrics import roc_curve

from matnet_jax.metrics import METRICS, PairedDifference
from matnet_jax.metrics.scores import Columns
from matnet_jax.report.drawing import INK, SIZE, VIDEO, Chart, drawn, shortened, unit_square

# Okabe and Ito's colours, which all kinds of colour blindness tell apart.
COLORS = ("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00")


def rocs(evaluations: Sequence[tuple[str, Columns]]) -> Chart:
    """ROC curves of the videos of several evaluations (letter, videos)."""
    found = [(name, v, METRICS["auc"](v["label"], v["score"])) for name, v in evaluations]
    defined = [(name, videos, auc) for name, videos, auc in found if auc is not None]
    if not defined:
        return Chart("ROC curves", message="No evaluation has both real and fake videos.")

    def draw(axes: Axes) -> None:
        axes.plot([0, 1], [0, 1], color=INK, linewidth=0.8, alpha=0.5, linestyle=(0, (4, 3)))
        for index, (name, videos, auc) in enumerate(defined):
            x, y, _ = roc_curve(videos["label"], videos["score"])
            # Beyond the colours, dashes tell the curves apart.
            dashes = "-" if index < len(COLORS) else (0, (2 + index // len(COLORS), 1))
            color = COLORS[index % len(COLORS)]
            axes.plot(x, y, color=color, linestyle=dashes, label=f"{name}, AUC {100 * auc:.2f} %")
        axes.set(xlabel="reals called fake", ylabel="fakes found")
        unit_square(axes)
        axes.legend(loc="lower right")

    return Chart("ROC curves", drawn("ROC curves", draw), note="Of videos; dashed: chance.")


def differences(title: str, rows: Mapping[str, PairedDifference]) -> list[Chart]:
    """Each difference and its interval in percentage points; none if all are undefined."""
    defined = {name: d for name, d in rows.items() if d.difference is not None and d.interval}
    if not defined:
        return []

    def draw(axes: Axes) -> None:
        places = np.arange(len(defined), dtype=np.float64)
        middle = 100 * np.array([d.difference for d in defined.values()], np.float64)
        low, high = 100 * np.array([d.interval for d in defined.values()], np.float64).T
        axes.errorbar(
            middle,
            places,
            xerr=np.maximum([middle - low, high - middle], 0),
            fmt="o",
            color=VIDEO,
            markersize=4.5,
            linewidth=1.5,
            capsize=3,
        )
        axes.axvline(0, color=INK, linewidth=0.8, linestyle=(0, (4, 3)))
        axes.set_yticks(places, [shortened(name) for name in defined])
        axes.set(xlabel="percentage points", ylim=(len(defined) - 0.5, -0.5))
        axes.grid(axis="y", visible=False)

    svg = drawn(title, draw, size=(SIZE[0], max(2.0, 0.3 * len(defined) + 0.9)))
    return [Chart(title, svg, note="With 95 % intervals. Right of the dashed line is better.")]
