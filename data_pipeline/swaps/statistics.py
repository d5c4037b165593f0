"""Whether plain statistics of images tell reals from fakes: they should not."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import GroupKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

_FOLDS = 5


def probe_auc(statistics: np.ndarray, labels: np.ndarray, people: Sequence[str]) -> float | None:
    """AUC of a logistic regression on statistics, on people it was not fitted to.

    Args:
      statistics: [N, S].
      labels: [N], 0 or 1.
      people: [N], of whom no one is both fitted and scored.

    Returns:
      0.5 by chance; None with fewer than 5 people, or where all but a fifth of them have one label.
    """
    known, groups = np.unique(np.asarray(people), return_inverse=True)
    if len(known) < _FOLDS:
        return None
    folds = list(GroupKFold(_FOLDS).split(statistics, labels, groups))
    if any(len(set(labels[fitted].tolist())) < 2 for fitted, _ in folds):
        return None
    # Balanced: else a fold's share of fakes would move its scores against the other folds'.
    model = make_pipeline(StandardScaler(), LogisticRegression(class_weight="balanced"))
    scores = cross_val_predict(model, statistics, labels, cv=folds, method="decision_function")
    return float(roc_auc_score(labels, scores))
