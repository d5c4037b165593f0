"""Whether a detector serves all people alike: its figures by attribute, beside those of all.

A rate of a few videos says little: each has the interval of what it may be.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from matnet_jax.metrics.binary import auc, decide
from matnet_jax.metrics.binomial import at_least, at_most
from matnet_jax.metrics.bootstrap import Resample, bootstrap_intervals

RATES = ("fpr", "tpr", "auc")


def group_table(
    videos: Mapping[str, Any],
    groups: np.ndarray,
    *,
    threshold: float = 0.5,
    num_resamples: int = 0,
    resample: Resample = "video",
    seed: int = 0,
) -> dict[str, Any]:
    """Figures of each group of videos, at one threshold for all.

    Args:
      videos: columns of videos, as `video_scores` gives them, [V].
      groups: each video's group, str [V]; "" where it is not known.
      threshold: scores over it are called fake.
      num_resamples, resample, seed: of the AUCs' bootstrap intervals; 0: they have none.

    Returns:
      `groups` {name: figures}, `overall` (of the videos whose group is known), `max_gap` {fpr, tpr,
      auc}, the largest difference between two groups, and `unknown`, the videos without a group.
      Figures: `n_real`, `n_fake`, `fpr`, the reals called fake, `tpr`, the fakes found, `auc`, and
      `intervals` of these: exact (Clopper and Pearson 1934) for the rates. Undefined is None.
    """
    groups = np.asarray(groups)
    columns = {name: np.asarray(column) for name, column in videos.items()}

    def figures(rows: np.ndarray) -> dict[str, Any]:
        part = {name: column[rows] for name, column in columns.items()}
        labels, called = part["label"], decide(part["score"], threshold)
        counts = {
            name: (int(np.sum(called[labels == label])), int(np.sum(labels == label)))
            for name, label in (("fpr", 0), ("tpr", 1))
        }
        area = auc(labels, part["score"])
        span = None
        if num_resamples and area is not None:
            draws: dict[str, Any] = {"num_resamples": num_resamples, "seed": seed}
            span = bootstrap_intervals(part, ("auc",), resample=resample, **draws)["auc"]
        return {
            "n_real": counts["fpr"][1],
            "n_fake": counts["tpr"][1],
            **{name: count / total if total else None for name, (count, total) in counts.items()},
            "auc": area,
            "intervals": {name: _exact(*pair) for name, pair in counts.items()} | {"auc": span},
        }

    known = groups != ""
    table = {name: figures(groups == name) for name in np.unique(groups[known]).tolist()}
    return {
        "groups": table,
        "overall": figures(known),
        "max_gap": {name: _gap([row[name] for row in table.values()]) for name in RATES},
        "unknown": int(np.sum(~known)),
    }


def _gap(values: list[float | None]) -> float | None:
    defined = [value for value in values if value is not None]
    return max(defined) - min(defined) if len(defined) > 1 else None


def _exact(count: int, total: int, confidence: float = 0.95) -> list[float] | None:
    if not total:
        return None
    one_sided = (1 + confidence) / 2
    return [at_least(count, total, one_sided), at_most(count, total, one_sided)]
