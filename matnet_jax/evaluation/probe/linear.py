"""Logistic regression on standardised features, its strength chosen on validation."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

from matnet_jax.metrics import METRICS, video_scores
from matnet_jax.metrics.scores import Columns

STRENGTHS = (1e-4, 1e-3, 1e-2, 1e-1, 1.0, 10.0)
MAX_ITERATIONS = 1000


class LinearProbe(NamedTuple):
    """A fitted probe.

    Attributes:
      pipeline: standardisation and logistic regression, classes weighing alike.
      c: inverse strength of its L2 penalty.
      validation_auc: of videos, by c; None where validation lacks a class, and c is then 1.
    """

    pipeline: Pipeline
    c: float
    validation_auc: dict[float, float | None]

    def score(self, features: np.ndarray) -> np.ndarray:
        """P(fake) float64 [N] of features [N, D]."""
        return self.pipeline.predict_proba(features)[:, 1]


def fit_probe(
    features: np.ndarray,
    labels: np.ndarray,
    validation_features: np.ndarray,
    validation: Mapping[str, Any],
    *,
    aggregation: str = "mean",
    top_k: int = 10,
) -> LinearProbe:
    """Fits a probe.

    Args:
      features: of the training's faces, [N, D].
      labels: of these, [N].
      validation_features: [M, D].
      validation: columns of these faces, [M].
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

    def fitted(c: float) -> Pipeline:
        regression = LogisticRegression(C=c, class_weight="balanced", max_iter=MAX_ITERATIONS)
        return make_pipeline(StandardScaler(), regression).fit(features, labels)

    def area(pipeline: Pipeline) -> float | None:
        scores = pipeline.predict_proba(validation_features)[:, 1]
        columns: Columns = {**validation, "score": scores}
        videos = video_scores(columns, aggregation=aggregation, top_k=top_k)
        return METRICS["auc"](videos["label"], videos["score"])

    if len(np.unique(np.asarray(validation["label"]))) < 2:
        return LinearProbe(fitted(1.0), 1.0, {1.0: None})
    made = {c: fitted(c) for c in STRENGTHS}
    areas = {c: area(pipeline) for c, pipeline in made.items()}
    # Of equally good ones the strongest penalty.
    best = max(STRENGTHS, key=lambda c: (areas[c] or 0.0, -c))
    return LinearProbe(made[best], best, areas)
