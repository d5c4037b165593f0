"""What is left of the errors where a detector may leave the unsure cases to people.

Cases are kept by confidence, the distance of the score from the threshold. The risk is the share of
wrong decisions among those kept, the coverage the share of all that they are (El-Yaniv and Wiener
2010; Geifman and El-Yaniv 2017).
"""

from typing import Any, NamedTuple

import numpy as np

from matnet_jax.metrics.binary import decide

MOST_POINTS = 101


class RiskCoverage(NamedTuple):
    """The curve, from the most confident cases to all of them.

    Attributes:
      coverage: [K], ascending, ends at 1; equally confident cases are kept together.
      risk: [K].
      area: under it (AURC): the mean risk over all counts of cases kept, ties in random order.
    """

    coverage: np.ndarray
    risk: np.ndarray
    area: float

    def coverage_at(self, max_risk: float) -> float:
        """The largest coverage with at most this risk; 0 where no confidence has so little."""
        return float(self.coverage[self.risk <= max_risk].max(initial=0.0))


def risk_coverage(
    labels: np.ndarray, scores: np.ndarray, threshold: float = 0.5
) -> RiskCoverage | None:
    """The risk-coverage curve of labels and scores [N]; None without any."""
    labels, scores = np.asarray(labels), np.asarray(scores, np.float64)
    if not len(labels):
        return None
    confidence = np.abs(scores - threshold)
    order = np.argsort(-confidence, kind="stable")
    ranked = confidence[order]
    kept = np.append(np.flatnonzero(ranked[1:] != ranked[:-1]), len(ranked) - 1) + 1
    errors = np.cumsum(decide(scores, threshold)[order] != labels[order])[kept - 1]
    count = np.arange(1, len(labels) + 1)
    # Within a tie errors come evenly, as they do on average in random order.
    expected = np.interp(count, np.append(0, kept), np.append(0, errors))
    return RiskCoverage(kept / len(labels), errors / kept, float(np.mean(expected / count)))


def risk_coverage_summary(
    labels: np.ndarray, scores: np.ndarray, threshold: float = 0.5
) -> dict[str, Any]:
    """The curve for `metrics.json`.

    Returns:
      `risk` of all cases; `aurc`; `coverage_at_risk_1` and `…_5`, at most 1 % and 5 % of wrong
      decisions; and at most 101 points of the curve, `coverage` and `risk` as lists. Undefined
      values are None, lists empty.
    """
    found = risk_coverage(labels, scores, threshold)
    if found is None:
        names = ("risk", "aurc", "coverage_at_risk_1", "coverage_at_risk_5")
        return {**dict.fromkeys(names), "curve": {"coverage": [], "risk": []}}
    count = min(len(found.coverage), MOST_POINTS)
    shown = np.unique(np.linspace(0, len(found.coverage) - 1, count).round().astype(int))
    return {
        "risk": float(found.risk[-1]),
        "aurc": found.area,
        "coverage_at_risk_1": found.coverage_at(0.01),
        "coverage_at_risk_5": found.coverage_at(0.05),
        "curve": {
            "coverage": found.coverage[shown].tolist(),
            "risk": found.risk[shown].tolist(),
        },
    }
