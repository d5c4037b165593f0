"""A line through standardised features, its strength chosen on validation."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler
from sklearn.svm import LinearSVC

from matnet_jax.metrics import METRICS, video_scores
from matnet_jax.metrics.scores import Columns

STRENGTHS = (1e-4, 1e-3, 1e-2, 1e-1, 1.0, 10.0)
MAX_ITERATIONS = 1000
CLASSIFIERS: dict[str, Callable[[float], Any]] = {
    "logistic": lambda c: LogisticRegression(C=c, class_weight="balanced", max_iter=MAX_ITERATIONS),
    "svm": lambda c: LinearSVC(C=c, class_weight="balanced", dual=False, max_iter=MAX_ITERATIONS),
}
"""Of an inverse strength of the L2 penalty, classes weighing alike; the machine's hinge is squared,
since the plain one's solver often does not end."""


class Line(NamedTuple):
    """P(fake) as the sigmoid of a weighted sum.

    Attributes:
      weights: of the features as they are, float64 [D].
      bias: added to the sum.
    """

    weights: np.ndarray
    bias: float

    def sums(self, features: np.ndarray) -> np.ndarray:
        """Weighted sums float64 [N] of features [N, D]."""
        return np.asarray(features, np.float64) @ self.weights + self.bias

    def score(self, features: np.ndarray) -> np.ndarray:
        """P(fake) float64 [N] of features [N, D]."""
        return np.asarray(1 / (1 + np.exp(-np.clip(self.sums(features), -500, 500))))


class LinearProbe(NamedTuple):
    """A fitted probe.

    Attributes:
      line: through the features as they are: the standardisation is in its weights.
      c: inverse strength of its L2 penalty.
      validation_auc: of videos, by c; None where validation lacks a class, and c is then 1.
    """

    line: Line
    c: float
    validation_auc: dict[float, float | None]

    def score(self, features: np.ndarray) -> np.ndarray:
        """P(fake) float64 [N] of features [N, D]."""
        return self.line.score(features)


def fit_probe(
    features: np.ndarray,
    labels: np.ndarray,
    validation_features: np.ndarray,
    validation: Mapping[str, Any],
    *,
    classifier: str = "logistic",
    aggregation: str = "mean",
    top_k: int = 10,
) -> LinearProbe:
    """Fits a probe.

    Args:
      features: of the training's faces, [N, D].
      labels: of these, [N].
      validation_features: [M, D].
      validation: columns of these faces, [M].
      classifier: logistic regression; or svm, a linear support vector machine, whose sums become
        probabilities as Platt has it: by a logistic regression on those of validation, or of the
        training's faces where validation lacks a class or would turn the line around.
      aggregation, top_k: from a video's faces to its score.

    Raises:
      ValueError: the training's faces are of one class.
    """
    labels = np.asarray(labels)
    if len(np.unique(labels)) < 2:
        raise ValueError(
            f"the training split has {int(np.sum(labels == 0))} real and "
            f"{int(np.sum(labels == 1))} fake faces; a probe needs both"
        )

    has_both = len(np.unique(np.asarray(validation["label"]))) == 2
    scaler = StandardScaler().fit(features)

    def fitted(c: float) -> Line:
        found = CLASSIFIERS[classifier](c).fit(scaler.transform(features), labels)
        weights = found.coef_[0] / scaler.scale_
        return Line(weights, float(found.intercept_[0] - weights @ scaler.mean_))

    def finished(line: Line) -> Line:
        if classifier == "logistic":
            return line
        found = calibrated(line, validation_features, validation["label"]) if has_both else None
        return found or calibrated(line, features, labels) or line

    def area(line: Line) -> float | None:
        columns: Columns = {**validation, "score": line.score(validation_features)}
        videos = video_scores(columns, aggregation=aggregation, top_k=top_k)
        return METRICS["auc"](videos["label"], videos["score"])

    if not has_both:
        return LinearProbe(finished(fitted(1.0)), 1.0, {1.0: None})
    made = {c: fitted(c) for c in STRENGTHS}
    areas = {c: area(line) for c, line in made.items()}
    # Of equally good ones the strongest penalty.
    best = max(STRENGTHS, key=lambda c: (areas[c] or 0.0, -c))
    return LinearProbe(finished(made[best]), best, areas)


def calibrated(line: Line, features: np.ndarray, labels: np.ndarray) -> Line | None:
    """The line whose sums are log odds of these faces: Platt's scaling; None if it turned it."""
    sums = line.sums(features)
    spread = max(float(np.std(sums)), 1e-12)
    platt = CLASSIFIERS["logistic"](1.0).fit((sums / spread)[:, None], np.asarray(labels))
    slope = float(platt.coef_[0, 0]) / spread
    if slope <= 0:
        return None
    return Line(slope * line.weights, slope * line.bias + float(platt.intercept_[0]))
