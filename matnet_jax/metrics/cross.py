"""Cross-AUC: whether one threshold serves several data sets.

A detector may rank each data set well and yet score one of them higher as a whole. Its mean AUC
does not show that; the AUC of all data sets pooled does.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from matnet_jax.metrics.binary import auc


def cross_auc(columns: Mapping[str, Any]) -> dict[str, Any] | None:
    """The AUC over all data sets pooled, beside the mean of their own.

    Args:
      columns: `dataset`, `label` and `score` of frames or of videos, [N].

    Returns:
      None of a single data set. Else `auc`, every real against every fake whatever the data set;
      `mean_auc` of the data sets that have both classes; `difference`, `auc` minus `mean_auc`: the
      further under 0, the more scores shift between data sets; `datasets`, how many are in the
      mean; and `one_class`, the names of those that are in the pool alone. Undefined is None.
    """
    datasets = np.asarray(columns["dataset"])
    labels, scores = np.asarray(columns["label"]), np.asarray(columns["score"], np.float64)
    names = np.unique(datasets).tolist()
    if len(names) < 2:
        return None
    own = {name: auc(labels[datasets == name], scores[datasets == name]) for name in names}
    defined = [value for value in own.values() if value is not None]
    pooled = auc(labels, scores)
    mean = float(np.mean(defined)) if defined else None
    return {
        "auc": pooled,
        "mean_auc": mean,
        "difference": None if pooled is None or mean is None else pooled - mean,
        "datasets": len(defined),
        "one_class": [name for name, value in own.items() if value is None],
    }
